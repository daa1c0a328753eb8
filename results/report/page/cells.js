// The best and the worst cells of those shown, drawn.

const cellsOfEach = 5;

/** Adds two rows of cells, which follow the selection. */
function addCells() {
	const note = h("p", { class: "about" });
	const best = h("ol", { class: "cells" });
	const worst = h("ol", { class: "cells" });
	byId("cells").append(note, h("h3", {}, "Best"), best, h("h3", {}, "Worst"), worst);
	const refresh = () => {
		const order = ranking();
		const few = Math.min(cellsOfEach, Math.ceil(order.length / 2));
		note.textContent = order.length === 0 ? noneShown
			: `${selectionName()}: the highest and the lowest mean accuracies of ${plural(order.length, "architecture")} shown. Choose a cell to open its architecture.`;
		best.replaceChildren(...Array.from(order.slice(order.length - few).reverse(), cellCard));
		worst.replaceChildren(...Array.from(order.slice(0, Math.min(cellsOfEach, order.length - few)), cellCard));
	};
	state.subscribe(changed => {
		if (changed.has("set") || changed.has("shown")) refresh();
	});
	refresh();
}

/** Makes a list item with the picture of an architecture's cell and its main numbers. */
function cellCard(i) {
	const group = shownGroup();
	return h("li", {}, h("button", { type: "button", class: "cell", onclick: () => openArchitecture(i) },
		cellPicture(i),
		h("strong", {}, `Architecture ${data.index[i]}`),
		h("span", {}, percent(data.value(shownSet().mean, i))),
		h("span", { class: "dim" }, `${short(data.value(group.params, i))} M parameters, ${short(data.value(group.flops, i))} MFLOPs`)));
}
