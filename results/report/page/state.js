// Holds what the page is set to show, and notifies the parts of the page that depend on it.

/** Returns the position of the set of a group that is shown at first: a test set, if there is one. */
function defaultSet(group) {
	const names = group.sets.map(s => s.name);
	for (const name of ["x-test", "ori-test"]) {
		if (names.includes(name)) return names.indexOf(name);
	}
	return names.length - 1;
}

/** Returns the position of the set of a group that has the name of the one before, or else the default. */
function sameSet(before, group) {
	const { name } = content.groups[before.group].sets[before.set];
	const at = content.groups[group].sets.findIndex(s => s.name === name);
	return at < 0 ? defaultSet(content.groups[group]) : at;
}

/** Returns the position of the group with the most trials, of the longest schedule among equals. */
function defaultGroup() {
	let best = 0;
	content.groups.forEach((g, k) => {
		const b = content.groups[best];
		if (g.trials > b.trials || (g.trials === b.trials && g.epochs > b.epochs)) best = k;
	});
	return best;
}

/** Returns the positions of the architectures that have the chosen operations. */
function filtered(edges) {
	const wanted = edges.map((name, edge) => [edge, content.operations.indexOf(name)]).filter(([, op]) => op >= 0);
	const shown = new Int32Array(data.n);
	let length = 0;
	for (let i = 0; i < data.n; i++) {
		if (wanted.every(([edge, op]) => data.op(i, edge) === op)) shown[length++] = i;
	}
	return shown.subarray(0, length);
}

const noFilter = ["", "", "", "", "", ""];

const state = {
	group: defaultGroup(),
	set: 0,
	edges: noFilter,
	chosen: [], // positions of the architectures whose curves are drawn
	shown: filtered(noFilter),

	listeners: [],
	changed: new Set(),

	/** Calls fn with the set of names that changed, at most once in a frame. */
	subscribe(fn) {
		this.listeners.push(fn);
	},

	update(values) {
		const before = { group: this.group, set: this.set };
		if (this.changed.size === 0) requestAnimationFrame(() => this.notify());
		Object.assign(this, values);
		Object.keys(values).forEach(name => this.changed.add(name));
		if ("group" in values && !("set" in values)) this.update({ set: sameSet(before, this.group) });
		if ("edges" in values) this.update({ shown: filtered(this.edges) });
	},

	notify() {
		const changed = this.changed;
		this.changed = new Set();
		this.listeners.forEach(fn => fn(changed));
	},
};
if (content.groups.length > 0) state.set = defaultSet(content.groups[state.group]);

/** Returns the group and the set that are shown. */
const shownGroup = () => content.groups[state.group];
const shownSet = () => shownGroup()?.sets[state.set];

const groupEpochs = g => plural(g.epochs, "epoch");
const groupName = g => `${g.dataset}, ${groupEpochs(g)}`;

/** The edges of a cell, in the order of the genotype string. */
const edgeNames = ["0 → 1", "0 → 2", "1 → 2", "0 → 3", "1 → 3", "2 → 3"];
