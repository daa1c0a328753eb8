// Holds what the page is set to show, and notifies the parts of the page that depend on it.

/** Returns the position of the set of a group that is shown at first: a test set, if there is one. */
function defaultSet(group) {
	const names = group.sets.map(s => s.name);
	for (const name of ["x-test", "ori-test"]) {
		if (names.includes(name)) return names.indexOf(name);
	}
	return names.length - 1;
}

/** Returns the position of the set of a group that has a name, or else the default. */
function setNamed(name, group) {
	const at = group.sets.findIndex(s => s.name === name);
	return at < 0 ? defaultSet(group) : at;
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

/**
 * Returns the positions of the architectures that have the chosen options.
 * @param {string[]} filter the option that is wanted at each place of the search space, "" for any
 */
function filtered(filter) {
	const wanted = filter.map((name, at) => [at, content.space.options.indexOf(name)]).filter(([, option]) => option >= 0);
	const shown = new Int32Array(data.n);
	let length = 0;
	for (let i = 0; i < data.n; i++) {
		if (wanted.every(([at, option]) => data.choice(i, at) === option)) shown[length++] = i;
	}
	return shown.subarray(0, length);
}

/** Returns a filter that any architecture passes. */
const noFilter = () => content.space.places.map(() => "");

const state = {
	group: defaultGroup(),
	set: 0,
	filter: noFilter(),
	chosen: [], // positions of the architectures whose curves are drawn
	shown: filtered(noFilter()),
	status: null, // of the campaign and the server, see live.js

	listeners: [],
	changed: new Set(),

	/** Calls fn with the set of names that changed, at most once in a frame. */
	subscribe(fn) {
		this.listeners.push(fn);
	},

	update(values) {
		const name = shownSet()?.name;
		Object.assign(this, values);
		this.mark(...Object.keys(values));
		if ("group" in values && !("set" in values)) this.update({ set: setNamed(name, shownGroup()) });
		if ("filter" in values) this.update({ shown: filtered(this.filter) });
	},

	/** Notifies of changes in the next frame. */
	mark(...names) {
		if (this.changed.size === 0) requestAnimationFrame(() => this.notify());
		names.forEach(name => this.changed.add(name));
	},

	notify() {
		const changed = this.changed;
		this.changed = new Set();
		this.listeners.forEach(fn => fn(changed));
	},

	/** Shows other data. What is chosen stays, as far as the data have it. */
	replace(next) {
		const group = shownGroup(), set = shownSet();
		const chosen = this.chosen.map(i => data.index[i]);
		data = next;
		content = next.content;
		const same = content.groups.findIndex(g => group && g.dataset === group.dataset && g.schedule === group.schedule && g.epochs === group.epochs);
		this.group = same < 0 ? defaultGroup() : same;
		this.set = shownGroup() ? setNamed(set?.name, shownGroup()) : 0;
		if (shownSet()?.name !== set?.name || same < 0) this.mark("group", "set");
		this.chosen = chosen.map(index => data.position(index)).filter(i => i >= 0);
		if (this.filter.length !== content.space.places.length) this.filter = noFilter();
		this.shown = filtered(this.filter);
		this.mark("data", "shown", "chosen");
	},
};
if (content.groups.length > 0) state.set = defaultSet(content.groups[state.group]);

/** Returns the group and the set that are shown. */
const shownGroup = () => content.groups[state.group];
const shownSet = () => shownGroup()?.sets[state.set];

const groupEpochs = g => plural(g.epochs, "epoch");
/** Returns the name of a user's own recipe, or the number of epochs. */
const scheduleOf = g => (/^\d+$/.test(g.schedule) ? g.epochs : g.schedule);
/** Names the schedule of a group: by its number of epochs, or by its recipe. */
const scheduleName = g => (scheduleOf(g) === g.epochs ? groupEpochs(g) : g.schedule);
const groupName = g => `${g.dataset}, ${scheduleName(g)}`;

/** Names the schedule of a trial of the campaign's status. */
const trialSchedule = ({ recipe, epochs }) => (recipe ? `recipe ${recipe}` : plural(epochs, "epoch"));

/** Calls fn with the search space, and again whenever the data are of another one. */
function followSpace(fn) {
	let used = "";
	const use = () => {
		const names = content.space.places.map(({ choice }) => choice).join();
		if (names === used) return;
		used = names;
		fn(content.space);
	};
	state.subscribe(changed => changed.has("data") && use());
	use();
}

/** Returns a word with a capital letter. */
const capitalised = word => word.slice(0, 1).toUpperCase() + word.slice(1);
