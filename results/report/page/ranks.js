// Rank correlations: between the accuracies on all sets, and between early epochs and the last one.

// Both scales can be read without colour vision: viridis, and red to blue.
const sequential = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
const diverging = ["#b2182b", "#ef8a62", "#f7f7f7", "#67a9cf", "#2166ac"];

/** Adds the matrix of correlations and the lines over epochs. */
function showRanks() {
	addRankMatrix();
	addEarlyRanks();
}

/** Names a measure by what distinguishes it from the others, the schedule by `schedule`. */
function measureName({ group, set }, schedule = scheduleName) {
	const groups = content.measures.map(m => content.groups[m.group]);
	const g = content.groups[group];
	const parts = [];
	if (groups.some(other => other.dataset !== g.dataset)) parts.push(g.dataset);
	if (groups.some(other => other.schedule !== g.schedule)) parts.push(schedule(g));
	return [...parts, g.sets[set].name].join(", ");
}

/** Shortens a text to about a width in pixels by leaving out its middle. */
function shorten(text, width) {
	const room = Math.floor(width / 6);
	if (text.length <= room) return text;
	const end = Math.min(Math.floor(room / 2), 9);
	return `${text.slice(0, room - end - 1)}…${text.slice(-end)}`;
}

function addRankMatrix() {
	let kind = "kendall";
	const plot = addPlot({
		name: "ranks",
		title: "Rank correlation between sets and schedules",
		about: "How well the order of the architectures by mean accuracy on one set agrees with that on another: 1 for the same order, "
			+ "0 for unrelated ones, -1 for the reverse. Over all architectures that have both, filtered out or not.",
		section: "ranks",
		uses: [],
		controls: [labelledSelect("Coefficient", [["kendall", "Kendall's tau-b"], ["spearman", "Spearman's rho"]], kind, v => {
			kind = v;
			plot.invalidate();
		})],
		compute: () => computeMatrix(kind),
	});
}

function computeMatrix(kind) {
	const names = content.measures.map(m => measureName(m));
	const n = names.length;
	if (n < 2) return { empty: "There is only one measure of accuracy with at least two architectures, so nothing to correlate." };
	const matrix = content[kind];
	const symbol = kind === "kendall" ? "tau" : "rho";
	const pairs = names.flatMap((_, i) => names.slice(0, i).map((_, k) => [i, k]));
	const known = pairs.filter(([i, k]) => matrix[i][k] !== null).sort(([a, b], [c, d]) => matrix[a][b] - matrix[c][d]);
	const name = ([i, k]) => `${names[i]} and ${names[k]}`;
	const value = ([i, k]) => (matrix[i][k] === null ? "undefined" : fixed(3)(matrix[i][k]));
	const cells = names.flatMap((_, i) => names.map((_, k) => [i, k]));
	return {
		summary: `${n} sets in all datasets and schedules.` + (known.length === 0 ? ""
			: ` Lowest ${symbol}: ${name(known[0])}, ${value(known[0])}; highest: ${name(known.at(-1))}, ${value(known.at(-1))}.`),
		height: 90 + n * (n > 16 ? 20 : 34),
		hit: "cell",
		columns: [
			{ name: "set" }, { name: "other set" }, { name: "Kendall's tau-b", format: fixed(4) },
			{ name: "Spearman's rho", format: fixed(4) }, { name: "architectures" },
		],
		rows: pairs.map(([i, k]) => [names[i], names[k], content.kendall[i][k], content.spearman[i][k], content.common[i][k]]),
		points: cells.map(cell => ({ label: name(cell), arch: -1, x: cell[1], y: cell[0], series: cell[0], cell })),
		describe: ({ cell }) => [[symbol, value(cell)], ["architectures", count(content.common[cell[0]][cell[1]])]],
		first: [0],
		option: (theme, width) => matrixOption(theme, width, names, cells.map(([i, k]) => [k, i, matrix[i][k]]), symbol),
	};
}

/** Returns the colour of a value from 0 to 1 on a scale, as [red, green, blue]. */
function scaleColour(scale, share) {
	const at = Math.min(Math.max(share, 0), 0.9999) * (scale.length - 1);
	const k = Math.floor(at);
	const channel = (colour, c) => parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16);
	return [0, 1, 2].map(c => channel(scale[k], c) + (at - k) * (channel(scale[k + 1], c) - channel(scale[k], c)));
}

function matrixOption(theme, width, names, cells, symbol) {
	const least = Math.min(0.9, ...cells.map(cell => cell[2] ?? 1));
	const [scale, low] = least < 0 ? [diverging, -1] : [sequential, Math.floor(least * 10) / 10];
	const n = names.length;
	const labelWidth = Math.min(230, width * 0.38);
	const cellWidth = (width - labelWidth - 16) / n;
	const inkOn = v => {
		const [red, green, blue] = scaleColour(scale, (v - low) / (1 - low));
		return 0.299 * red + 0.587 * green + 0.114 * blue > 130 ? "#111111" : "#ffffff";
	};
	const category = { type: "category", data: names, axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: false } };
	return {
		grid: { left: labelWidth, right: 16, top: 24, bottom: 60 },
		xAxis: axis(theme, { ...category, position: "top", axisLabel: { color: theme.dim, fontSize: 11, hideOverlap: true, formatter: (_, k) => String(k + 1) } }),
		yAxis: axis(theme, {
			...category,
			inverse: true,
			axisLabel: {
				interval: 0, color: theme.ink, fontSize: 11,
				formatter: (_, k) => `${shorten(measureName(content.measures[k], scheduleOf), labelWidth - 36)}  ${k + 1}`,
			},
		}),
		visualMap: {
			type: "continuous", min: low, max: 1, dimension: 2, inRange: { color: scale }, calculable: false, hoverLink: false,
			orient: "horizontal", left: "center", bottom: 0, itemWidth: 12, itemHeight: 170, textStyle: { color: theme.ink }, text: ["1", `${symbol} ${low}`],
		},
		series: [{
			type: "heatmap",
			data: cells.map(([k, i, v]) => ({ value: [k, i, v ?? "-"], label: v === null ? {} : { color: inkOn(v) } })),
			itemStyle: { borderColor: theme.paper, borderWidth: n > 20 ? 0.5 : 1 },
			label: {
				show: cellWidth >= 24,
				fontSize: cellWidth < 32 ? 9 : 11,
				formatter: ({ value }) => (cellWidth < 32 ? fixed(2)(value[2]).replace("0.", ".") : fixed(2)(value[2])),
			},
		}],
	};
}

function addEarlyRanks() {
	let all = false;
	const legend = h("ul", { class: "chosen", "aria-label": "Lines" });
	const plot = addPlot({
		name: "epochs",
		title: "Ranks after early epochs",
		about: "Kendall's tau-b between the architectures' mean accuracies after an epoch, counted from 0, and after the last epoch of the schedule: "
			+ "how early the final order shows. Over all architectures that have both, filtered out or not.",
		section: "ranks",
		uses: ["group"],
		controls: [
			labelledSelect("Lines", [["one", "selected dataset and schedule"], ["all", "all"]], "one", v => {
				all = v === "all";
				plot.invalidate();
			}),
			legend,
		],
		compute: () => computeEarly(content.measures.filter(m => (all || m.group === state.group) && m.early.length > 1), legend),
	});
}

function computeEarly(measures, list) {
	const lines = measures.map((m, k) => {
		const known = m.early.flatMap((v, at) => (v === null ? [] : [at]));
		const group = content.groups[m.group];
		return {
			name: `${groupName(group)}, ${group.sets[m.set].name}`, look: k % symbols.length, dash: Math.floor(k / symbols.length),
			epochs: known.map(at => m.epochs[at]), values: known.map(at => m.early[at]),
		};
	}).filter(line => line.values.length > 1);
	patchChildren(list, ...lines.map(line => h("li", {}, swatch({ colour: line.look, dash: line.dash, symbol: line.look }), line.name)));
	if (lines.length === 0) return { empty: `${groupName(shownGroup())}: accuracies after early epochs are not known.` };
	const quarter = line => line.values[line.epochs.findIndex(epoch => epoch + 1 >= (line.epochs.at(-1) + 1) / 4)];
	return {
		summary: `After a quarter of the epochs, tau is ${lines.map(line => `${fixed(3)(quarter(line))} (${line.name})`).join(", ")}.`,
		columns: [{ name: "set" }, { name: "epoch" }, { name: "Kendall's tau-b", format: fixed(4) }],
		rows: lines.flatMap(line => line.epochs.map((epoch, k) => [line.name, epoch, line.values[k]])),
		points: lines.flatMap((line, series) => line.epochs.map((x, k) => ({ label: line.name, arch: -1, x, y: line.values[k], series }))),
		describe: ({ x, y }) => [["epoch", count(x)], ["tau", fixed(3)(y)]],
		first: offsets(lines),
		option: theme => ({
			grid: { left: 8, right: 18, top: 14, bottom: 8 },
			xAxis: epochAxis(theme, 0, Math.max(...lines.map(line => line.epochs.at(-1)))),
			yAxis: axis(theme, { type: "value", scale: true, max: 1, name: "tau", nameGap: 40 }),
			series: lines.map(line => lineSeries(line, theme)),
		}),
	};
}
