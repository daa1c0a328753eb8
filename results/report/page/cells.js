// The best and the worst architectures of those shown, drawn.

const cellsOfEach = 5;

/** Adds the lists of the best and of the worst architectures, which follow the selection. */
function showCells() {
	const note = h("p", { class: "about" });
	const best = h("ol", { class: "cells" });
	const worst = h("ol", { class: "cells" });
	const both = h("div", { class: "pair" }, h("div", {}, h("h3", {}, "Best"), best), h("div", {}, h("h3", {}, "Worst"), worst));
	byId("cells").append(note, both);
	const refresh = () => {
		if (!shownSet()) return;
		const order = ranking();
		const few = Math.min(cellsOfEach, Math.ceil(order.length / 2));
		both.hidden = order.length === 0;
		note.textContent = order.length === 0 ? noneShown
			: `${selectionName()}: the highest and the lowest mean accuracies of the ${plural(order.length, "architecture")} shown.`;
		patchChildren(best, ...Array.from(order.slice(order.length - few).reverse(), cellCard));
		patchChildren(worst, ...Array.from(order.slice(0, Math.min(cellsOfEach, order.length - few)), cellCard));
	};
	state.subscribe(changed => (changed.has("set") || changed.has("shown")) && refresh());
	refresh();
}

/** Makes a list item with the picture of an architecture, its accuracy and its costs. A click opens it. */
function cellCard(i) {
	const known = costs.map(cost => [cost, costOf(cost, shownGroup(), i)]).filter(([, v]) => !Number.isNaN(v));
	const numbers = [["accuracy, %", fixed(2)(data.value(shownSet().mean, i))], ...known.map(([cost, v]) => [cost.name, cost.format(v)])];
	const index = String(data.index[i]);
	return h("li", { class: "cell", "data-key": index, "data-arch": index, onclick: openNamed },
		pictureOf(i),
		h("div", {},
			h("button", { type: "button", class: "link" }, `Architecture ${data.index[i]}`),
			h("dl", {}, numbers.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]).flat())),
		h("code", {}, data.text(i).split(/(?<=.[|+])(?=\w|\|\w)/).flatMap(part => [part, h("wbr")])));
}
