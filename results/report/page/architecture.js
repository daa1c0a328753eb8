// Shows an architecture in a dialog: its picture, costs and trials.

/** Returns the picture of an architecture as an SVG element. */
function pictureOf(i) {
	const { places, base, width, height, words } = content.space;
	const picture = svg("svg", {
		class: "picture", role: "img", "aria-label": `${capitalised(words.picture)} of architecture ${data.index[i]}: ${data.text(i)}`,
		// Without the margins where `arch --svg` writes the index and the string.
		viewBox: `45 54 ${width - 90} ${height - 100}`,
	});
	// The program drew these parts; they have no text from the data.
	picture.innerHTML = data.choices(i).map((option, at) => places[at].drawings[option]).join("") + base;
	return picture;
}

const dialog = byId("architecture");
const opened = { position: -1, index: -1 };

function makeDialog() {
	const button = (text, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, text);
	opened.title = h("h2", { id: "architecture-title" });
	opened.previous = button("Previous", () => showArchitecture(opened.position - 1));
	opened.next = button("Next", () => showArchitecture(opened.position + 1));
	opened.body = h("div", { class: "dialog-body" });
	dialog.append(
		h("div", { class: "dialog-head" }, opened.title,
			button("Show its curves", () => {
				dialog.close();
				showCurvesOf(opened.position);
			}),
			opened.previous, opened.next, button("Close", () => dialog.close(), { autofocus: true })),
		opened.body);
	dialog.addEventListener("click", event => event.target === dialog && dialog.close());
}

/** Opens the dialog of the architecture at a position. */
function openArchitecture(i) {
	if (i < 0) return;
	if (!opened.title) makeDialog();
	showArchitecture(i);
	tooltip.hidden = true;
	if (!dialog.open) dialog.showModal();
}

function showArchitecture(i) {
	fillDialog(i);
	dialog.scrollTop = 0;
}

/** Shows the open architecture in other data. */
function refreshDialog() {
	const i = data.position(opened.index);
	if (dialog.open && i < 0) dialog.close(); // its trials are gone
	else if (dialog.open) fillDialog(i);
}
state.subscribe(changed => changed.has("data") && refreshDialog());

function fillDialog(i) {
	opened.position = i;
	opened.index = data.index[i];
	setText(opened.title, `Architecture ${data.index[i]}`);
	opened.previous.disabled = i === 0;
	opened.next.disabled = i === data.n - 1;
	patchChildren(opened.body,
		h("p", { class: "genotype" }, h("code", {}, data.text(i))),
		content.space.isomorphic ? classText(i) : null,
		h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": capitalised(content.space.words.picture) }, pictureOf(i)),
		h("h3", {}, "Costs"), costTable(i),
		h("h3", {}, "Trials"), ...trialTables(i));
}

function classText(i) {
	const smallest = data.cls(i);
	const at = data.position(smallest);
	const name = `architecture ${smallest}`;
	return h("p", { class: "about" }, "Isomorphism class of ",
		at < 0 || at === i ? name : archButton(smallest, name), ".");
}

/** Costs of architectures that groups may have: what they are called, their columns, and how to write them. */
const costs = [
	{ key: "flops", name: "FLOPs, millions", format: atLeast(2) },
	{ key: "params", name: "parameters, millions", format: atLeast(3) },
	{ key: "latency", name: "latency, ms", format: fixed(2), factor: 1000 },
	{ key: "seconds", name: "training time, s", format: short },
];

/** Returns a cost of an architecture in the unit of the cost's name; NaN if it is unknown. */
const costOf = (cost, group, i) => (group[cost.key] ? (cost.factor ?? 1) * data.value(group[cost.key], i) : NaN);

function costTable(i) {
	const known = costs.filter(cost => content.groups.some(g => !Number.isNaN(costOf(cost, g, i))));
	return makeTable({
		columns: [{ name: "dataset", text: true }, { name: "schedule" }, ...known],
		rows: content.groups.filter(g => known.some(cost => !Number.isNaN(costOf(cost, g, i))))
			.map(g => [g.dataset, scheduleOf(g), ...known.map(cost => costOf(cost, g, i))]),
	});
}

/** Returns a table of the architecture's trials for each group. */
function trialTables(i) {
	const tables = content.groups.map(g => {
		const trials = g.seeds.map((_, k) => k).filter(k => !Number.isNaN(data.value(g.seeds[k], i)));
		if (trials.length === 0) return null;
		const of = (columns, k) => (columns?.[k] ? data.value(columns[k], i) : NaN);
		return makeTable({
			caption: groupName(g),
			columns: [
				{ name: "seed" }, { name: "seconds", format: short },
				...g.sets.flatMap(s => [{ name: `${s.name}, %`, format: fixed(2) }, { name: `${s.name}, loss`, format: fixed(4) }]),
			],
			rows: trials.map(k => [of(g.seeds, k), of(g.trial_seconds, k), ...g.sets.flatMap(s => [of(s.top1, k), of(s.loss, k)])]),
		});
	}).filter(table => table);
	return tables.length > 0 ? tables : [h("p", { class: "empty" }, "No trial of this architecture is in the benchmark.")];
}
