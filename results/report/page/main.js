// Fills the top of the page and the toolbar, and adds all sections.

function showTop() {
	const { health, notes } = content;
	const source = { ...content.source, ...(state.status ? { path: state.status.path, format: state.status.format } : {}) };
	setText(byId("source-path"), source.path);
	const facts = [
		["Format", source.format],
		["Architectures", count(source.architectures)],
		["Trials", count(source.trials)],
	];
	if (health.last) {
		facts.push(["Last trial finished", h("time", { datetime: health.last }, minute(health.last))]);
	}
	patchChildren(byId("facts"), ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
	setText(byId("footer"), isLive ? `Served by ${state.status?.program ?? "nb201"}. Plots are drawn by Apache ECharts (Apache License 2.0).`
		: `Made by ${content.program}. Plots are drawn by Apache ECharts (Apache License 2.0), which is part of this file.`);
	byId("notes").hidden = notes.length === 0;
	setText(byId("notes").querySelector("summary"), plural(notes.length, "note"));
	patchChildren(byId("notes").querySelector("ul"), ...notes.map(note => h("li", {}, note)));
}

/** Shows the sections that have something to show, and links to them. */
function showSections() {
	const isEmpty = content.groups.length === 0;
	for (const part of document.querySelectorAll(".toolbar, main > section:not(#campaign, #health)")) part.hidden = isEmpty;
	byId("campaign")?.toggleAttribute("hidden", !state.status?.campaign);
	byId("health").hidden = isLive && isEmpty && content.health.damaged.length === 0;
	byId("nothing").hidden = !isEmpty;
	patchChildren(byId("nothing"), ...(isLive ? whyNothing() : ["No trial of the campaign has finished."]));
	patchChildren(byId("sections"), ...[...document.querySelectorAll("main > section:not([hidden])")].map(section =>
		h("li", { "data-key": section.id }, h("a", { href: `#${section.id}` }, section.querySelector("h2").textContent))));
}

/** Makes the choices of dataset, schedule and set follow each other. */
function showChoices() {
	const choiceName = g => (g.schedule === String(g.epochs) ? groupEpochs(g) : `${g.schedule} (${groupEpochs(g)})`);
	const groupsOf = dataset => content.groups.map((g, k) => [g, k]).filter(([g]) => g.dataset === dataset);
	const controls = {
		dataset: labelledSelect("Dataset", [], "", dataset => {
			const groups = groupsOf(dataset);
			const same = groups.find(([g]) => g.schedule === shownGroup().schedule) ?? groups[groups.length - 1];
			state.update({ group: same[1] });
		}, { id: "dataset" }),
		schedule: labelledSelect("Schedule", [], "", k => state.update({ group: Number(k) }), { id: "schedule" }),
		set: labelledSelect("Set", [], "", k => state.update({ set: Number(k) }), { id: "set" }),
	};
	byId("choices").append(...Object.values(controls));
	const fill = () => {
		const group = shownGroup();
		if (!group) return;
		setOptions(byId("dataset"), [...new Set(content.groups.map(g => g.dataset))].map(d => [d, d]), group.dataset);
		setOptions(byId("schedule"), groupsOf(group.dataset).map(([g, k]) => [String(k), choiceName(g)]), String(state.group));
		setOptions(byId("set"), group.sets.map((s, k) => [String(k), s.name]), String(state.set));
	};
	state.subscribe(changed => ["data", "group", "set"].some(name => changed.has(name)) && fill());
	fill();
}

/** Adds a filter for each place of the search space. They are in sight on wide windows, and fold away on narrow ones. */
function showFilters() {
	const places = byId("places"), filter = byId("filter");
	const reset = h("button", { type: "button", id: "reset", onclick: () => state.update({ filter: noFilter() }) }, "Reset");
	followSpace(space => places.replaceChildren(...space.places.map(({ name, choice }, at) =>
		labelledSelect(name, [], "", option => state.update({ filter: state.filter.with(at, option) }), { "data-place": String(at), "aria-label": choice })), reset));
	const wide = matchMedia("(min-width: 60rem)");
	const fold = () => { filter.open = wide.matches; };
	wide.addEventListener("change", fold);
	fold();
	const show = () => {
		const active = state.filter.some(option => option !== "");
		const options = [["", "any"], ...content.space.options.map(name => [name, name])];
		places.querySelectorAll("select").forEach((select, at) => {
			setOptions(select, options, state.filter[at]);
			select.classList.toggle("set", select.value !== "");
		});
		reset.disabled = !active;
		filter.classList.toggle("active", active);
		setText(byId("shown"), `${count(state.shown.length)} of ${plural(data.n, "architecture")}`);
	};
	state.subscribe(changed => changed.has("shown") && show());
	show();
}

/** Uses the words for the architectures of the search space. */
function showWords() {
	followSpace(({ words }) => {
		setText(byId("filter").querySelector("summary"), `Filter ${words.picture}s`);
		setText(byId("operations-title"), `${capitalised(words.option)}s`);
		setText(byId("cells-title"), `Best and worst ${words.picture}s`);
		byId("search").placeholder = `Index or ${words.text}`;
	});
}

/**
 * Returns the positions of architectures that match a text, the best match first: those of this
 * index or string, then those whose index begins with it or whose string contains it.
 */
function matches(text, most) {
	const wanted = text.trim().toLowerCase();
	if (wanted === "") return [];
	const found = [];
	const isIndex = /^\d+$/.test(wanted);
	const exact = isIndex ? data.position(Number(wanted)) : -1;
	const contains = text => text.includes(wanted) && wholeNumbers(text, wanted);
	if (exact >= 0) found.push(exact);
	for (let i = 0; i < data.n && found.length < most; i++) {
		if (i === exact) continue;
		if (isIndex ? String(data.index[i]).startsWith(wanted) : contains(data.text(i))) found.push(i);
	}
	return found;
}

/** Says whether a part of a text is in it without beginning within a number: 8:8 is not in 48:8. */
const wholeNumbers = (text, part) => !/^\d/.test(part) || text.startsWith(part) || text.split(part).slice(0, -1).some(before => !/\d$/.test(before));

/** Returns the architecture that an input names, the first that matches a part of a string, or -1, which it reports. */
function find(input) {
	const text = input.value.trim();
	const [first] = matches(text, 1);
	const found = first !== undefined && (!/^\d+$/.test(text) || data.index[first] === Number(text));
	input.setCustomValidity(found ? "" : `The benchmark has no architecture ${text}.`);
	input.reportValidity();
	return found ? first : -1;
}

function showSearch() {
	const list = h("datalist", { id: "matches" });
	const open = () => {
		if (input.value.trim() === "") return;
		const i = find(input);
		if (i >= 0) openArchitecture(i);
	};
	const input = h("input", {
		type: "search", id: "search", list: "matches", autocomplete: "off", spellcheck: "false", placeholder: "Index or string",
		oninput: event => {
			input.setCustomValidity("");
			if (!event.inputType || event.inputType === "insertReplacementText") { // a match was chosen from the list
				open();
				return;
			}
			list.replaceChildren(...matches(input.value, 12).map(i => h("option", { value: String(data.index[i]), label: data.text(i) })));
		},
		onkeydown: event => {
			if (event.key !== "Enter") return;
			event.preventDefault(); // or the key would press the button that gets the focus
			open();
		},
	});
	byId("find").append(h("label", { class: "control" }, h("span", {}, "Search"), input), list);
}

function showThemeButton() {
	const themes = ["auto", "light", "dark"];
	const button = byId("theme");
	let at = 0;
	button.addEventListener("click", () => {
		at = (at + 1) % themes.length;
		button.textContent = `Theme: ${themes[at]}`;
		document.documentElement.dataset.theme = themes[at];
		changeTheme();
	});
}

showChoices();
showFilters();
showSearch();
showWords();
showThemeButton();
showCampaign();
showCost();
showCurves();
showOperations();
showCells();
showRanks();
showAgainst();
showHealth();
const showFrame = () => {
	showTop();
	showSections();
};
state.subscribe(changed => (changed.has("data") || changed.has("status")) && showFrame());
showFrame();
if (isLive) startLive();

// The plots in sight are drawn after the observers of their places have reported.
requestAnimationFrame(() => requestAnimationFrame(async () => {
	await working;
	document.documentElement.dataset.ready = "true";
}));
