// Distributions of accuracy: box plots by the option at each place of the search space, such as the
// operation on each edge, and a histogram. Both are of the architectures shown, on the selected set.

/** Up to this number, architectures are drawn as dots on the boxes. */
const maxDots = 150;

const noneShown = "No architecture shown has an accuracy on this set.";

const selectionName = () => `${groupName(shownGroup())}, ${shownSet().name}`;

const sortedColumns = new WeakMap();

/** Returns the positions of architectures that have a value in a column, in ascending order of it. */
function ascending(column) {
	let order = sortedColumns.get(column);
	if (!order) {
		const values = data.values(column);
		order = Int32Array.from(values.keys()).filter(i => !Number.isNaN(values[i])).sort((a, b) => values[a] - values[b] || a - b);
		sortedColumns.set(column, order);
	}
	return order;
}

/** Returns the positions of the architectures shown that have an accuracy on the selected set, the worst first. */
function ranking() {
	const order = ascending(shownSet().mean);
	if (state.shown.length === data.n) return order;
	const isShown = new Uint8Array(data.n);
	for (const i of state.shown) isShown[i] = 1;
	return order.filter(i => isShown[i]);
}

/**
 * Counts sorted numbers in bins of equal width, which is at least `least`.
 * @returns {{low: number, high: number, count: number}[]}
 */
function binned(sorted, least) {
	const most = Math.min(100, 2 * Math.sqrt(sorted.length));
	const width = niceStep(Math.max((sorted.at(-1) - sorted[0]) / most, least));
	const bin = v => Math.floor(v / width + 1e-9);
	const start = bin(sorted[0]);
	const edge = k => Number((k * width).toPrecision(12)); // 0.3, not 0.30000000000000004
	const bins = Array.from({ length: bin(sorted.at(-1)) - start + 1 }, (_, k) => ({ low: edge(start + k), high: edge(start + k + 1), count: 0 }));
	for (const v of sorted) bins[bin(v) - start].count++;
	return bins;
}

/** Returns a point for each bin. */
function binPoints(bins, describe) {
	return bins.map(b => ({ label: describe(b), arch: -1, x: (b.low + b.high) / 2, y: b.count, series: 0 }));
}

/**
 * Returns the ECharts option of a histogram.
 * @param {{low: number, high: number, count: number}[]} bins
 * @param {{name: string, at: number}[]} marks vertical lines
 * @param {object} x what is particular about the x axis
 */
function histogramOption(theme, { bins, marks, x, y }) {
	return {
		grid: { left: 8, right: 18, top: 26, bottom: 8 },
		xAxis: axis(theme, { type: "value", min: bins[0].low, max: bins.at(-1).high, splitLine: { show: false }, ...x }),
		yAxis: axis(theme, { type: "value", minInterval: 1, name: y, nameGap: 40 }),
		series: [{
			type: "custom",
			data: bins.map(b => [(b.low + b.high) / 2, b.count, b.low, b.high]),
			encode: { x: [2, 3], y: 1 },
			renderItem(params, api) {
				const [left, top] = api.coord([api.value(2), api.value(1)]);
				const [right, bottom] = api.coord([api.value(3), 0]);
				const gap = right - left > 4 ? 1 : 0;
				return {
					type: "rect",
					shape: { x: left, y: top, width: right - left - gap, height: bottom - top },
					style: { fill: theme.series[0], opacity: 0.75 },
				};
			},
			markLine: {
				silent: true, symbol: "none", lineStyle: { color: theme.ink, type: "dashed", width: 1 },
				label: { formatter: "{b}", color: theme.ink, fontSize: 11 },
				data: marks.map(({ name, at }) => ({ name, xAxis: at })),
			},
		}],
	};
}

/** Adds the box plots and the histogram. */
function showOperations() {
	let place = "";
	const control = labelledSelect("", [["", "all"]], place, v => {
		place = v;
		plot.invalidate();
	});
	const plot = addPlot({
		name: "operations",
		title: "",
		about: "",
		section: "operations",
		controls: [control],
		compute: () => computeBoxes(place === "" ? content.space.places.map((_, at) => at) : [Number(place)]),
		open: ({ arch, box }) => (arch >= 0 ? openArchitecture(arch) : toggleFilter(box)),
	});
	followSpace(({ words, places }) => {
		place = "";
		setText(control.querySelector("span"), capitalised(words.place));
		setOptions(control.querySelector("select"), [["", "all"], ...places.map(({ name }, at) => [String(at), name])], place);
		plot.rename(`Accuracy by ${words.option}`,
			`Mean accuracy of the architectures with ${words.choice}. A box spans the quartiles and is divided at the median; `
			+ "its whiskers reach from the 5th to the 95th percentile. A click on a box shows only its architectures; another one shows all again.");
	});
	let range = "main";
	const histogram = addPlot({
		name: "histogram",
		title: "Distribution of accuracy",
		about: "Number of architectures shown by their mean accuracy on the selected set.",
		section: "operations",
		controls: [labelledSelect("Accuracies", [["main", "without outliers"], ["all", "all"]], range, v => {
			range = v;
			histogram.invalidate();
		})],
		compute: () => computeHistogram(range),
	});
}

/** Shows only the architectures of a box, or those with any option at its place if that is so already. */
function toggleFilter({ place, option }) {
	const name = content.space.options[option];
	state.update({ filter: state.filter.map((old, at) => (at !== place ? old : old === name ? "" : name)) });
}

/**
 * The distribution of the accuracy of the architectures with an option at a place. `members` are
 * their positions, the worst first.
 * @typedef {{row: number, place: number, option: number, members: number[],
 *   low: number, q1: number, median: number, q3: number, high: number}} Box
 */

/** Returns the boxes of places that have members. @returns {Box[]} */
function boxesOf(places, order, values) {
	const n = content.space.options.length;
	const members = Array.from({ length: places.length * n }, () => []);
	for (const i of order) places.forEach((place, k) => members[k * n + data.choice(i, place)].push(i));
	return members.map((positions, row) => {
		const sorted = positions.map(i => values[i]);
		const [low, q1, median, q3, high] = [0.05, 0.25, 0.5, 0.75, 0.95].map(share => quantile(sorted, share));
		return { row, place: places[Math.floor(row / n)], option: row % n, members: positions, low, q1, median, q3, high };
	}).filter(box => box.members.length > 0);
}

function computeBoxes(places) {
	const order = ranking();
	if (order.length === 0) return { empty: noneShown };
	const values = data.values(shownSet().mean);
	const boxes = boxesOf(places, order, values);
	const { space } = content;
	const name = ({ place, option }) => `${space.options[option]} ${space.places[place].where}`;
	const byMedian = boxes.toSorted((a, b) => a.median - b.median);
	const dots = order.length > maxDots ? [] : boxes.flatMap(box => box.members.map(i => ({ box, i })));
	const rows = places.length * space.options.length;
	return {
		summary: `${selectionName()}. Lowest median: ${name(byMedian[0])}, ${percent(byMedian[0].median)}; `
			+ `highest: ${name(byMedian.at(-1))}, ${percent(byMedian.at(-1).median)}.`,
		height: 70 + rows * (places.length > 1 ? 19 : 34),
		hit: "row",
		columns: [
			{ name: space.words.place }, { name: space.words.option }, { name: "architectures" },
			...["5th percentile, %", "lower quartile, %", "median, %", "upper quartile, %", "95th percentile, %"].map(text => ({ name: text, format: fixed(2) })),
		],
		rows: boxes.map(b => [space.places[b.place].name, space.options[b.option], b.members.length, b.low, b.q1, b.median, b.q3, b.high]),
		points: [
			...dots.map(({ box, i }) => ({ label: `Architecture ${data.index[i]}, ${name(box)}`, arch: i, x: values[i], y: box.row, series: box.row, box })),
			...boxes.map(box => ({ label: name(box), arch: -1, x: box.median, y: box.row, series: box.row, box })),
		],
		describe: ({ arch, box }) => (arch >= 0 ? [["accuracy", percent(values[arch])]] : [
			["architectures", count(box.members.length)], ["median", percent(box.median)],
			["quartiles", `${percent(box.q1)} to ${percent(box.q3)}`], ["5th to 95th percentile", `${percent(box.low)} to ${percent(box.high)}`],
		]),
		first: [dots.length, 0, -1],
		option: theme => boxOption(theme, boxes, rows, places, dots.map(({ box, i }) => [values[i], box.row])),
	};
}

function boxOption(theme, boxes, rows, places, dots) {
	const { space } = content;
	const n = space.options.length;
	const inRow = new Map(boxes.map(box => [box.row, box]));
	const all = Array.from({ length: rows }, (_, row) => row);
	const category = { type: "category", data: all.map(String), inverse: true, axisTick: { show: false } };
	const label = row => {
		const option = `{name|${space.options[row % n]}}`;
		return row % n === 0 ? `{place|${space.places[places[row / n]].name}}  ${option}` : option;
	};
	return {
		grid: { left: 8, right: 8, top: 8, bottom: 8 },
		xAxis: axis(theme, { type: "value", scale: true, name: "accuracy, %" }),
		yAxis: [
			axis(theme, {
				...category,
				splitLine: { show: false },
				axisLabel: {
					interval: 0, fontSize: 11, formatter: label,
					rich: { place: { fontWeight: "bold", color: theme.ink }, name: { color: theme.dim } },
				},
			}),
			axis(theme, {
				...category, position: "right", splitLine: { show: false }, name: "architectures", nameGap: 34,
				axisLabel: { interval: 0, fontSize: 10, color: theme.dim, formatter: row => count(inRow.get(Number(row))?.members.length ?? 0) },
			}),
		],
		series: [
			{
				type: "boxplot",
				boxWidth: [4, 16],
				data: all.map(row => {
					const box = inRow.get(row);
					if (!box) return "-";
					const { color } = look(theme, box.option);
					return {
						value: [box.low, box.q1, box.median, box.q3, box.high],
						itemStyle: { color: echarts.color.modifyAlpha(color, 0.25), borderColor: color, borderWidth: 1.5 },
					};
				}),
			},
			{ type: "scatter", data: dots, symbolSize: 5, itemStyle: { color: theme.ink, opacity: 0.45 } },
			bands(theme, places, boxes[0].median),
		],
	};
}

/** Returns a shade behind the rows of every second place as an ECharts series; x is any value in the range of the axis. */
function bands(theme, places, x) {
	const n = content.space.options.length;
	return {
		type: "custom",
		silent: true,
		z: 0,
		data: places.flatMap((_, k) => (k % 2 === 1 ? [[x, k * n]] : [])),
		renderItem({ coordSys }, api) {
			const [, first] = api.coord([x, api.value(1)]);
			const height = coordSys.height / (places.length * n);
			return {
				type: "rect",
				shape: { x: coordSys.x, y: first - height / 2, width: coordSys.width, height: height * n },
				style: { fill: theme.grid, opacity: 0.6 },
			};
		},
	};
}

function computeHistogram(range) {
	const values = data.values(shownSet().mean);
	const sorted = Float64Array.from(ranking(), i => values[i]);
	if (sorted.length === 0) return { empty: noneShown };
	const below = range === "all" ? 0 : mainRange(sorted).below;
	const bins = binned(sorted.subarray(below), 0.01);
	const median = quantile(sorted, 0.5);
	const left = below > 0 ? ` Not in view: ${plural(below, "architecture")} below ${percent(sorted[below])}.` : "";
	return {
		summary: `${selectionName()}. ${plural(sorted.length, "architecture")} from ${percent(sorted[0])} to ${percent(sorted.at(-1))}: median ${percent(median)}, `
			+ `quartiles ${percent(quantile(sorted, 0.25))} and ${percent(quantile(sorted, 0.75))}.${left}`,
		height: 300,
		hit: "column",
		columns: [{ name: "from, %" }, { name: "to, %" }, { name: "architectures" }],
		rows: bins.map(b => [b.low, b.high, b.count]),
		points: binPoints(bins, b => `${b.low} to ${b.high} %: ${plural(b.count, "architecture")}`),
		first: [0],
		option: theme => histogramOption(theme, { bins, marks: [{ name: "median", at: median }], x: { name: "accuracy, %" }, y: "architectures" }),
	};
}
