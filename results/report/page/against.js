// The comparison with another benchmark.

/** Adds the tables and plots of the comparison. */
function addAgainst(section) {
	const { against } = content;
	let chosen = 0;
	const select = labelledSelect("Comparison", against.comparisons.map((c, k) => [String(k), comparisonName(c)]), "0", v => {
		chosen = Number(v);
		plots.forEach(plot => plot.update());
		showTables();
	});
	const tables = h("div", { class: "plots" });
	section.append(introduction(against), comparisonTable(against.comparisons), select);
	const plots = [
		addPlot({
			name: "against",
			title: "B against A",
			about: "Mean accuracy of each architecture shown in A and in B, %. The dashed line is where both agree.",
			section,
			compute: () => computeAgainst(against.comparisons[chosen]),
		}),
		addPlot({
			name: "differences",
			title: "Differences",
			about: "B minus A, top-1 accuracy, %. Over all pairs, filtered out or not.",
			section,
			compute: () => computeDifferences(against.comparisons[chosen]),
		}),
	];
	section.append(tables);
	const showTables = () => tables.replaceChildren(...comparisonTables(against.comparisons[chosen]));
	showTables();
}

const comparisonName = c => `${c.dataset}, ${c.epochs} epochs, ${c.set}`;

function introduction(against) {
	const skipped = against.skipped === 0 ? ""
		: ` Left out: ${count(against.skipped)} sets of trials that lack a finite loss or an accuracy of 0 to 100 % after the last epoch.`;
	const side = (name, { path, format, architectures }) => [`${name}: `, h("code", {}, path), ` (${format}, ${plural(architectures, "architecture")})`, h("br")];
	return h("div", {},
		h("p", {}, side("A", content.source), side("B", against), `Architectures in common: ${count(against.common)}.${skipped}`),
		h("p", { class: "about" }, "Values are those after the last epoch. Differences are B minus A, between the trials in common (the same architecture, "
			+ "dataset, schedule and seed) or, if there are none, between the architectures' means over their seeds. The spread between seeds is the "
			+ "standard deviation among the trials of an architecture. The relative difference is the root mean square difference, divided by the one "
			+ "expected from the spread between seeds alone: 0 for equal benchmarks, about 1 for a repetition with other seeds. Kendall's tau-b and "
			+ "Spearman's rho compare the order of the architectures."));
}

// What a comparison measures: the field, and the names in a table of many columns and in one of many rows.
const comparisonMeasures = [
	["mean_difference", "mean difference"],
	["sd_of_difference", "sd of difference"],
	["mean_absolute_difference", "mean absolute difference"],
	["largest_absolute_difference", "largest absolute difference"],
	["spread_between_seeds_a", "spread between seeds in A"],
	["spread_between_seeds_b", "spread between seeds in B"],
	["difference_relative_to_seeds", "relative difference"],
	["kendall_tau", "Kendall's tau-b"],
	["spearman_rho", "Spearman's rho"],
];

function comparisonTable(comparisons) {
	return makeTable({
		caption: "Top-1 accuracy, %",
		columns: [
			{ name: "dataset" }, { name: "epochs" }, { name: "set" }, { name: "trials" }, { name: "architectures" },
			...comparisonMeasures.map(([, name]) => ({ name, format: short })),
		],
		rows: comparisons.map(c => [c.dataset, c.epochs, c.set, c.trials, c.architectures, ...comparisonMeasures.map(([field]) => c.top1?.[field])]),
	});
}

/** Makes the tables of one comparison: all measures, and the pairs that differ most. */
function comparisonTables(c) {
	const seeds = c.worst.some(pair => pair.seed !== undefined);
	const format = fixed(3);
	return [
		makeTable({
			caption: "Measures",
			columns: [{ name: "" }, { name: "top-1 accuracy, %", format: short }, { name: "loss", format: short }],
			rows: comparisonMeasures.map(([field, name]) => [name, c.top1?.[field], c.loss?.[field]]),
		}),
		makeTable({
			caption: "Largest differences",
			columns: [{ name: "architecture", arch: true }, ...(seeds ? [{ name: "seed" }] : []), { name: "A, %", format }, { name: "B, %", format }],
			rows: c.worst.map(pair => [pair.architecture, ...(seeds ? [pair.seed] : []), pair.a, pair.b]),
		}),
	];
}

function computeAgainst(c) {
	const [a, b] = [data.values(c.a), data.values(c.b)];
	const positions = Array.from(state.shown).filter(i => !Number.isNaN(a[i]) && !Number.isNaN(b[i]));
	if (positions.length === 0) return { empty: `${comparisonName(c)}: no architecture shown has trials in both.` };
	const both = positions.flatMap(i => [a[i], b[i]]).sort((x, y) => x - y);
	const step = niceStep((both.at(-1) - both[0]) / 5 || 1);
	const [low, high] = [Math.floor(both[0] / step) * step, Math.ceil(both.at(-1) / step) * step];
	const axis = { type: "value", min: low, max: high, interval: step };
	const trials = c.trials > 0 ? `${plural(c.trials, "trial")} in common` : "no trials in common, so means over the seeds are compared";
	return {
		summary: `${comparisonName(c)}: ${plural(positions.length, "architecture")} shown; ${trials}.`,
		columns: [{ name: "architecture", arch: true }, { name: "genotype" }, { name: "A, %", format: fixed(2) }, { name: "B, %", format: fixed(2) }],
		rows: () => positions.map(i => [data.index[i], data.genotype(i), a[i], b[i]]),
		points: positions.map(i => ({ label: `Architecture ${data.index[i]}: A ${percent(a[i])}, B ${percent(b[i])}`, arch: i, x: a[i], y: b[i], series: 0 })),
		first: [-1, 0],
		option: theme => ({
			xAxis: { ...axis, name: "A: accuracy, %" },
			yAxis: { ...axis, name: "B: accuracy, %" },
			series: [
				{ type: "line", silent: true, symbol: "none", data: [[low, low], [high, high]], lineStyle: { color: theme.dim, type: "dashed", width: 1 } },
				{ type: "scatter", large: positions.length > 4000, symbolSize: 5, data: positions.map(i => [a[i], b[i]]), itemStyle: { color: theme.series[0], opacity: 0.6 } },
			],
		}),
	};
}

function computeDifferences(c) {
	if (c.bins.length === 0) return { empty: `${comparisonName(c)}: there are no differences to draw.` };
	const pairs = c.bins.reduce((sum, b) => sum + b.count, 0);
	return {
		summary: `${comparisonName(c)}: ${plural(pairs, "pair")}, mean difference ${short(c.top1.mean_difference)}, `
			+ `largest absolute difference ${short(c.top1.largest_absolute_difference)}.`,
		columns: [{ name: "from, %" }, { name: "to, %" }, { name: "pairs" }],
		rows: c.bins.map(b => [b.low, b.high, b.count]),
		points: binPoints(c.bins, b => `${short(b.low)} to ${short(b.high)}: ${plural(b.count, "pair")}`),
		first: [0],
		option: theme => histogramOption(c.bins, "B minus A, top-1 accuracy, %", c.trials > 0 ? "trials" : "architectures", [{ name: "equal", at: 0 }], theme),
	};
}
