// Learning curves: accuracy or loss of chosen architectures after each epoch.

const maxChosen = 8;

const symbolsPerLine = 10;

/** Returns the positions of the architectures drawn: those chosen, or else the best, the median and the worst shown. */
function drawnArchitectures() {
	if (state.chosen.length > 0) return state.chosen;
	const order = ranking();
	return [...new Set([order.at(-1), order[(order.length - 1) >> 1], order[0]])].filter(i => i !== undefined);
}

/** Draws the curves of an architecture too; the oldest ones make room. */
function drawCurvesOf(i) {
	const drawn = drawnArchitectures();
	state.update({ chosen: drawn.includes(i) ? drawn : [...drawn, i].slice(-maxChosen) });
}

/** Draws the curves of an architecture too, and brings them into sight. */
function showCurvesOf(i) {
	drawCurvesOf(i);
	byId("learning").scrollIntoView();
}

function removeCurve(i) {
	state.update({ chosen: drawnArchitectures().filter(other => other !== i) });
}

/** Adds the plot with its controls. */
function showCurves() {
	const show = { sets: [], loss: false, seeds: false, from: 0 }; // the sets by name
	let setNames = "";
	const list = h("ul", { class: "chosen", "aria-label": "Architectures drawn" });
	const sets = h("fieldset", { class: "sets" });
	const measure = labelledSelect("Measure", [["top1", "accuracy"], ["loss", "loss"]], "top1", v => change({ loss: v === "loss" }));
	const seeds = labelledSelect("Trials", [["mean", "mean and spread"], ["seeds", "each seed"]], "mean", v => change({ seeds: v === "seeds" }));
	const change = changes => {
		Object.assign(show, changes);
		plot.invalidate();
	};
	const plot = addPlot({
		name: "curves",
		title: "Accuracy and loss by epoch",
		about: "Accuracy or loss after each epoch, counted from 0. A line is the mean over the trials of an architecture; its band is one standard deviation "
			+ "between them to either side. Until architectures are chosen, these are the best, the median and the worst of those shown.",
		section: "learning",
		controls: [
			measure, seeds,
			labelledSelect("Epochs", [["0", "all"], ["0.5", "second half"], ["0.75", "last quarter"]], "0", v => change({ from: Number(v) })),
			sets, curveForm(), list,
		],
		uses: ["group", "set", "shown", "chosen"],
		compute: () => {
			if (data.hasCurves) return computeCurves(show);
			data.curves.then(() => plot.invalidate());
			return { empty: "The curves are being unpacked." };
		},
	});
	const refresh = changed => {
		if (!shownSet()) return;
		if (changed.has("set")) show.sets = [setWithCurve()];
		const names = shownGroup().sets.map(set => set.name).join("\n");
		if (changed.has("set") || names !== setNames) {
			setNames = names;
			showCurveSets(sets, show.sets, chosen => change({ sets: chosen }));
		}
		if (changed.has("set") || changed.has("data")) {
			seeds.hidden = !shownGroup().per_trial;
			measure.hidden = shownGroup().sets.every(set => set.loss_curves.length === 0);
		}
		showChosen(list);
	};
	state.subscribe(refresh);
	refresh(new Set(["set"]));
}

/** Returns the name of the selected set or, if it has accuracies after the last epoch only, of one that has a curve. */
function setWithCurve() {
	if (!shownSet().only_last) return shownSet().name;
	return (shownGroup().sets.findLast(set => !set.only_last) ?? shownSet()).name;
}

/** Makes the form that adds an architecture. */
function curveForm() {
	const input = h("input", {
		type: "search", size: "14", spellcheck: "false", autocomplete: "off",
		oninput: () => input.setCustomValidity(""),
	});
	const add = event => {
		event.preventDefault();
		const i = find(input);
		if (i < 0) return;
		drawCurvesOf(i);
		input.value = "";
		announce(`Architecture ${data.index[i]} is drawn`);
	};
	followSpace(({ words }) => { input.placeholder = `index or ${words.text}`; });
	return h("form", { class: "control", novalidate: true, onsubmit: add },
		h("label", { class: "control" }, h("span", {}, "Add architecture"), input),
		h("button", {}, "Add"),
		h("button", { type: "button", onclick: () => state.update({ chosen: [] }) }, "Best, median, worst"));
}

/** Fills the fieldset with a checkbox for each set of the group, and the dash of each set that is chosen, by name. */
function showCurveSets(fieldset, chosen, onchange) {
	const places = new Map();
	const boxes = shownGroup().sets.map(({ name }) => {
		const box = labelledCheckbox(name, chosen.includes(name), checked => {
			chosen = checked ? [...chosen, name] : chosen.filter(other => other !== name);
			showDashes();
			onchange(chosen);
		});
		places.set(name, box.appendChild(h("span")));
		return box;
	});
	const showDashes = () => places.forEach((place, name) => place.replaceChildren(...(chosen.includes(name) ? [swatch({ dash: chosen.indexOf(name) })] : [])));
	showDashes();
	fieldset.replaceChildren(h("legend", {}, "Sets"), ...boxes);
}

/** Fills the list with the architectures drawn, which is the plot's legend too. The focus stays where it was in the list. */
function showChosen(list) {
	const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
	const mean = data.values(shownSet().mean);
	const remove = event => removeCurve(data.position(Number(event.currentTarget.dataset.remove)));
	patchChildren(list, ...drawnArchitectures().map((i, look) => h("li", { "data-key": String(data.index[i]) },
		swatch({ colour: look, symbol: look }),
		archButton(data.index[i], `Architecture ${data.index[i]}`),
		h("span", { class: "about" }, percent(mean[i])),
		h("button", {
			type: "button", class: "remove", "aria-label": `Remove architecture ${data.index[i]}`, "data-remove": String(data.index[i]), onclick: remove,
		}, "×"))));
	const buttons = [...list.querySelectorAll("button")];
	if (focused >= 0 && !buttons.includes(document.activeElement)) buttons[Math.min(focused, buttons.length - 1)]?.focus();
}

/**
 * A line of the plot. `look` is the position of its colour and symbol, `dash` that of its dash.
 * @typedef {{arch: number, look: number, dash: number, set: string, trial: string,
 *   epochs: number[], values: number[], spread: number[] | null}} Curve
 */

/** Returns the lines of an architecture on a set. @returns {Curve[]} */
function curvesOf(i, look, set, dash, { loss, seeds, from }) {
	const group = shownGroup();
	const at = columns => columns.map(c => data.value(c, i));
	const trials = (loss ? set.loss_curves : set.curves).map(at);
	const curve = (trial, values, spread) => {
		const known = values.flatMap((v, k) => (Number.isNaN(v) || group.shown[k] < Math.floor(from * group.epochs) ? [] : [k]));
		return {
			arch: i, look, dash, set: set.name, trial,
			epochs: known.map(k => group.shown[k]),
			values: known.map(k => values[k]),
			spread: spread && known.map(k => spread[k]),
		};
	};
	let curves;
	if (group.per_trial && seeds) {
		curves = trials.map((values, t) => curve(`seed ${data.value(group.seeds[t], i)}`, values, null));
	} else if (group.per_trial) {
		const perEpoch = group.shown.map((_, k) => trials.map(values => values[k]).filter(v => !Number.isNaN(v)));
		curves = [curve("mean", perEpoch.map(mean), perEpoch.map(deviation))];
	} else {
		curves = trials.map(values => curve("mean", values, loss ? null : at(set.sd)));
	}
	return curves.filter(c => c.values.length > 0);
}

function mean(values) {
	return values.reduce((sum, v) => sum + v, 0) / values.length;
}

/** Returns the standard deviation of a sample, NaN for fewer than two values. */
function deviation(values) {
	const center = mean(values);
	return Math.sqrt(values.reduce((sum, v) => sum + (v - center) ** 2, 0) / (values.length - 1));
}

function computeCurves(show) {
	const group = shownGroup();
	const sets = show.sets.flatMap(name => group.sets.find(set => set.name === name) ?? []);
	if (sets.length === 0) return { empty: "Choose a set to draw." };
	const curves = drawnArchitectures().flatMap((i, look) => sets.flatMap((set, dash) => curvesOf(i, look, set, dash, show)));
	const measure = show.loss ? "loss" : "accuracy";
	if (curves.length === 0) return { empty: `${groupName(group)}: these architectures have no curves of the ${measure} on these sets.` };
	const text = show.loss ? short : percent;
	const format = show.loss ? short : fixed(2);
	const name = c => `Architecture ${data.index[c.arch]}, ${c.set}${c.trial === "mean" ? "" : `, ${c.trial}`}`;
	const value = (c, k) => text(c.values[k]) + (c.spread?.[k] >= 0 ? ` ± ${text(c.spread[k])}` : "");
	return {
		summary: `${groupName(group)}: ${plural(curves.length, "line")} of the ${measure}. After the last epoch: `
			+ curves.slice(0, maxChosen).map(c => `${name(c)}: ${value(c, c.values.length - 1)}`).join("; ") + (curves.length > maxChosen ? "; ..." : "."),
		columns: [
			{ name: "architecture", arch: true }, { name: content.space.words.text }, { name: "set" }, { name: "trial" }, { name: "epoch" },
			{ name: show.loss ? measure : `${measure}, %`, format }, { name: "standard deviation", format },
		],
		rows: () => curves.flatMap(c => c.epochs.map((epoch, k) =>
			[data.index[c.arch], data.text(c.arch), c.set, c.trial, epoch, c.values[k], c.spread ? c.spread[k] : NaN])),
		points: curves.flatMap((c, series) => c.epochs.map((x, k) => ({ label: name(c), arch: c.arch, x, y: c.values[k], series, k }))),
		describe: ({ series, k }) => [["epoch", count(curves[series].epochs[k])], [measure, value(curves[series], k)]],
		...drawCurves(curves, group, show),
	};
}

/** Returns `first` and `option` of a plot of curves: the bands first, the lines above them. */
function drawCurves(curves, group, { loss, from }) {
	const banded = curves.filter(c => c.spread?.some(v => v > 0));
	const few = curves.length <= maxChosen;
	return {
		first: [...banded.map(() => -1), ...offsets(curves)],
		option: theme => ({
			grid: { left: 8, right: few ? 52 : 18, top: 14, bottom: 8 },
			xAxis: epochAxis(theme, Math.floor(from * group.epochs), group.epochs - 1),
			yAxis: axis(theme, { type: "value", scale: true, name: loss ? "loss" : "accuracy, %", nameGap: 40 }),
			series: [
				...banded.map(c => bandSeries(c, theme, loss ? Infinity : 100)),
				...curves.map(c => lineSeries(c, theme, few && c.dash === 0 && c.trial === "mean" ? String(data.index[c.arch]) : "")),
			],
		}),
	};
}

/** Returns an axis of epochs, counted from 0 as everywhere in nb201. */
function epochAxis(theme, first, last) {
	const min = Math.max(Math.min(first, last - 1), 0);
	return axis(theme, { type: "value", min, max: Math.max(last, 1), minInterval: 1, name: "epoch", nameGap: 28, splitLine: { show: false } });
}

/** Returns the offset of each line's points if they are numbered line by line. */
function offsets(lines) {
	let next = 0;
	return lines.map(line => (next += line.values.length) - line.values.length);
}

/** Returns the band around a curve as an ECharts series. Its two data span the band, and the first draws it. */
function bandSeries(c, theme, most) {
	const spread = c.spread.map(v => (Number.isNaN(v) ? 0 : v));
	const low = c.values.map((v, k) => Math.max(v - spread[k], 0));
	const high = c.values.map((v, k) => Math.min(v + spread[k], most));
	return {
		type: "custom",
		silent: true,
		clip: true,
		z: 1,
		data: [[c.epochs[0], Math.min(...low)], [c.epochs.at(-1), Math.max(...high)]],
		renderItem({ dataIndex }, api) {
			if (dataIndex > 0) return null;
			const corners = side => c.epochs.map((epoch, k) => api.coord([epoch, side[k]]));
			return {
				type: "polygon",
				shape: { points: [...corners(low), ...corners(high).reverse()] },
				style: { fill: look(theme, c.look).color, opacity: 0.18 },
			};
		},
	};
}

/**
 * Returns a line with some symbols on it as an ECharts series.
 * @param {{look: number, dash: number, epochs: number[], values: number[]}} line
 * @param {string} [label] at its end
 */
function lineSeries(line, theme, label = "") {
	const { color, symbol } = look(theme, line.look);
	const every = Math.ceil(line.values.length / symbolsPerLine);
	const phase = Math.floor((line.look * every) / maxChosen);
	const last = line.values.length - 1;
	return {
		type: "line",
		z: 3,
		data: line.epochs.map((epoch, k) => [epoch, line.values[k]]),
		symbol: (_, { dataIndex }) => (dataIndex % every === phase || dataIndex === last ? symbol : "none"),
		symbolSize: 7,
		showAllSymbol: true,
		itemStyle: { color, borderWidth: 1.5 },
		lineStyle: { color, width: 1.8, type: look(theme, line.dash).dash },
		endLabel: { show: label !== "", formatter: label, color, fontSize: 11, distance: 6 },
		labelLayout: { moveOverlap: "shiftY" },
	};
}

/** The symbols of ECharts, the empty ones without "empty", drawn around 0, 0. */
const symbolPaths = {
	circle: "M3.5 0a3.5 3.5 0 1 1-7 0a3.5 3.5 0 1 1 7 0z",
	rect: "M-3 -3h6v6h-6z",
	triangle: "M0 -3.8L3.8 3.2h-7.6z",
	diamond: "M0 -4.4L4 0L0 4.4L-4 0z",
};

/** Makes a picture of a line for a legend: in a colour or in that of text, with a dash, with a symbol or without one. */
function swatch({ colour, dash = 0, symbol }) {
	const pattern = dashes[dash % dashes.length];
	const parts = [svg("path", {
		d: "M-14 0H14", stroke: "currentColor", "stroke-width": "1.8", "stroke-dasharray": Array.isArray(pattern) ? pattern.join(" ") : "none",
	})];
	if (symbol !== undefined) {
		const [, empty, shape] = symbols[symbol % symbols.length].match(/^(empty)?(.*)$/);
		parts.push(svg("path", {
			d: symbolPaths[shape.toLowerCase()], fill: empty ? "var(--paper)" : "currentColor", stroke: "currentColor", "stroke-width": "1.5",
		}));
	}
	const series = colour === undefined ? "" : ` series-${colour % 8}`;
	return svg("svg", { class: `swatch${series}`, viewBox: "-15 -6 30 12", width: "30", height: "12", "aria-hidden": "true" }, ...parts);
}
