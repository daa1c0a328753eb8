// The comparison with another benchmark.

/** Adds the tables and plots of the comparison, if there is one. */
function showAgainst() {
	const { against } = content;
	const section = byId("against");
	if (!against) {
		section.remove();
		return;
	}
	let chosen = 0;
	const control = labelledSelect("Comparison", against.comparisons.map((c, k) => [String(k), comparisonName(c)]), "0", v => choose(Number(v)));
	const pair = h("div", { class: "pair", id: "against-plots" });
	const tables = h("div", { class: "pair" });
	section.append(...introduction(against), comparisonTable(against.comparisons),
		h("div", { class: "controls" }, control), pair, tables);
	const drawn = [
		addPlot({
			name: "against",
			title: "B against A",
			about: "Mean accuracy of the architectures shown, in A and in B, percent. On the dashed line, both agree.",
			section: pair.id,
			uses: ["shown"],
			compute: () => computeAgainst(against.comparisons[chosen]),
		}),
		addPlot({
			name: "differences",
			title: "Differences",
			about: "Top-1 accuracy, B minus A, in percentage points. Over everything that is compared, filtered out or not.",
			section: pair.id,
			uses: [],
			compute: () => computeDifferences(against.comparisons[chosen]),
		}),
	];
	const choose = k => {
		chosen = k;
		control.querySelector("select").value = String(k);
		drawn.forEach(plot => plot.invalidate());
		tables.replaceChildren(...comparisonTables(against.comparisons[k]));
	};
	/** Chooses the comparison on the selected dataset, schedule and set, if there is one. */
	const follow = () => {
		if (!shownSet()) return;
		const group = shownGroup();
		const found = against.comparisons.findIndex(c => c.dataset === group.dataset && c.set === shownSet().name
			&& c.epochs === group.epochs && c.schedule === String(scheduleOf(group)));
		choose(found < 0 ? chosen : found);
	};
	state.subscribe(changed => changed.has("set") && follow());
	follow();
}

const comparisonName = c => `${groupName(c)}, ${c.set}`;

/** Returns paragraphs that say what is compared, and how. */
function introduction(against) {
	const side = (name, { path, format, architectures }) =>
		h("li", {}, `${name}: `, h("code", {}, path), ` (${format}, ${plural(architectures, "architecture")})`);
	const skipped = against.skipped === 0 ? ""
		: ` Left out: ${count(against.skipped)} sets of trials that lack a finite loss or an accuracy of 0 to 100 % after the last epoch.`;
	return [
		h("ul", { class: "sides" }, side("A", content.source), side("B", against)),
		h("p", {}, `Architectures in common: ${count(against.common)}.${skipped}`),
		h("p", { class: "about" }, "Values are those after the last epoch. Differences are B minus A, between the trials in common (the same architecture, " +
			"dataset, schedule and seed) or, if there are none, between the architectures' means over their seeds. The spread between seeds is the standard " +
			"deviation among the trials of an architecture. The relative difference is the root mean square difference, divided by the one expected from the " +
			"spread between seeds alone: 0 for equal benchmarks, about 1 for a repetition with other seeds. Kendall's tau-b and Spearman's rho compare the " +
			"order of the architectures."),
	];
}

/** What a comparison measures: the field, and its names in a table of rows and in one of columns. */
const comparisonMeasures = [
	["mean_difference", "mean difference", "mean difference"],
	["sd_of_difference", "sd of difference", "sd"],
	["mean_absolute_difference", "mean absolute difference", "mean absolute"],
	["largest_absolute_difference", "largest absolute difference", "largest"],
	["spread_between_seeds_a", "spread between seeds in A", "seeds in A"],
	["spread_between_seeds_b", "spread between seeds in B", "seeds in B"],
	["difference_relative_to_seeds", "relative difference", "relative"],
	["kendall_tau", "Kendall's tau-b", "tau"],
	["spearman_rho", "Spearman's rho", "rho"],
];

/** Makes the table of all comparisons. */
function comparisonTable(comparisons) {
	return h("div", { class: "many" }, makeTable({
		caption: "Top-1 accuracy, %",
		columns: [
			{ name: "dataset", text: true }, { name: "schedule" }, { name: "set", text: true }, { name: "trials" }, { name: "architectures" },
			...comparisonMeasures.map(([, , name]) => ({ name, format: short })),
		],
		rows: comparisons.map(c => [c.dataset, c.schedule, c.set, c.trials, c.architectures, ...comparisonMeasures.map(([field]) => c.top1?.[field])]),
	}));
}

/** Makes the tables of one comparison: all that was measured, and what differs most. */
function comparisonTables(c) {
	const ofTrials = c.trials > 0;
	return [
		makeTable({
			caption: comparisonName(c),
			columns: [{ name: "measure" }, { name: "top-1 accuracy, %", format: short }, { name: "loss", format: short }],
			rows: comparisonMeasures.map(([field, name]) => [name, c.top1?.[field], c.loss?.[field]]),
		}),
		makeTable({
			caption: "Largest differences",
			columns: [
				{ name: "architecture", arch: true }, ...(ofTrials ? [{ name: "seed" }] : []),
				...["A, %", "B, %", "B minus A"].map(name => ({ name, format: fixed(2) })),
			],
			rows: c.worst.map(pair => [pair.architecture, ...(ofTrials ? [pair.seed] : []), pair.a, pair.b, pair.b - pair.a]),
		}),
	];
}

function computeAgainst(c) {
	const a = data.values(c.a), b = data.values(c.b);
	const positions = Array.from(state.shown).filter(i => !Number.isNaN(a[i]) && !Number.isNaN(b[i]));
	if (positions.length === 0) return { empty: `${comparisonName(c)}: no architecture shown has trials in both.` };
	let [least, most] = [Infinity, -Infinity];
	for (const i of positions) [least, most] = [Math.min(least, a[i], b[i]), Math.max(most, a[i], b[i])];
	const { min, max } = withRoom(least, most);
	const compared = c.trials > 0 ? `${plural(c.trials, "trial")} in common` : "no trials in common, so means over the seeds are compared";
	const many = positions.length > 2000;
	return {
		summary: `${comparisonName(c)}: ${plural(positions.length, "architecture")} shown; ${compared}.`,
		columns: [{ name: "architecture", arch: true }, { name: content.space.words.text }, { name: "A, %", format: fixed(2) }, { name: "B, %", format: fixed(2) }],
		rows: () => positions.map(i => [data.index[i], data.text(i), a[i], b[i]]),
		points: positions.map(i => ({ label: `Architecture ${data.index[i]}`, arch: i, x: a[i], y: b[i], series: 0 })),
		describe: ({ x, y }) => [["A", percent(x)], ["B", percent(y)], ["B minus A", fixed(2)(y - x)]],
		first: [-1, 0],
		option: theme => ({
			grid: { left: 8, right: 18, top: 14, bottom: 8 },
			xAxis: axis(theme, { type: "value", min, max, name: "A: mean accuracy, %" }),
			yAxis: axis(theme, { type: "value", min, max, name: "B: mean accuracy, %", nameGap: 40 }),
			series: [
				{ type: "line", silent: true, symbol: "none", data: [[min, min], [max, max]], lineStyle: { color: theme.dim, type: "dashed", width: 1 } },
				{
					type: "scatter", silent: true, large: many, largeThreshold: 0, symbolSize: many ? 3 : 7,
					data: positions.map(i => [a[i], b[i]]), itemStyle: { color: theme.series[0], opacity: many ? 0.4 : 0.7 },
				},
			],
		}),
	};
}

function computeDifferences(c) {
	const compared = c.trials > 0 ? "trial" : "architecture";
	const total = c.bins.reduce((sum, b) => sum + b.count, 0);
	if (total === 0) return { empty: `${comparisonName(c)}: nothing to compare.` };
	return {
		summary: `${comparisonName(c)}: ${plural(total, compared)}, mean difference ${short(c.top1.mean_difference)}, `
			+ `largest absolute difference ${short(c.top1.largest_absolute_difference)} percentage points.`,
		hit: "column",
		columns: [{ name: "from", format: short }, { name: "to", format: short }, { name: `${compared}s` }],
		rows: c.bins.map(b => [b.low, b.high, b.count]),
		points: binPoints(c.bins, b => `${short(b.low)} to ${short(b.high)}: ${plural(b.count, compared)}`),
		first: [0],
		option: theme => histogramOption(theme, { bins: c.bins, marks: [{ name: "equal", at: 0 }], x: { name: "B minus A, percentage points" }, y: `${compared}s` }),
	};
}
