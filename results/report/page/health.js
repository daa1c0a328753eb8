// The campaign's health: progress, failures, times, and how trials were made.

/** Adds the tables and the histogram of times. */
function showHealth() {
	const { health, progress, source } = content;
	const section = byId("health");
	if (progress) section.append(progressTable(progress.groups), failureTable(progress.failures));
	section.append(...faultList("Files of the campaign that cannot be read", progress?.problems ?? []),
		...faultList("Damaged and left out", health.damaged));
	addPlot({
		name: "hours",
		title: "Time of trials",
		about: "Training time of the trials of the architectures shown, on the selected dataset and schedule: all training passes, without the evaluations.",
		section: section.id,
		uses: ["group", "shown"],
		compute: computeHours,
	});
	section.append(h("h3", {}, "How the trials were made"));
	if (health.tables.length === 0) {
		section.append(h("p", {}, `The format ${source.format} does not record how trials were made.`));
		return;
	}
	section.append(
		h("p", { class: "about" },
			`The first trial started at ${minute(health.first)}, the last one finished at ${minute(health.last)}. Times are those of all passes.`),
		h("div", { class: "tallies" }, health.tables.map(({ title, rows }) => makeTable({
			columns: [{ name: title, text: true }, { name: "trials", format: count }, { name: "time", format: duration }],
			rows: rows.map(row => [row.name, row.trials, row.hours * 3600]),
		}))));
}

/** Formats a time of the JSON. */
const minute = time => `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;

function progressTable(groups) {
	const fields = ["planned", "done", "damaged", "running", "failed", "left"];
	return makeTable({
		caption: "Trials planned",
		columns: [
			{ name: "dataset", text: true }, { name: "epochs" }, ...fields.map(name => ({ name: name === "done" ? "finished" : name, format: count })),
		],
		rows: groups.map(g => [g.dataset, g.epochs, ...fields.map(name => g[name])]),
	});
}

function failureTable(failures) {
	if (failures.length === 0) return h("p", {}, "No attempt failed.");
	return h("div", { class: "failures" }, makeTable({
		caption: "Failed attempts",
		columns: [
			{ name: "trial", text: true }, { name: "architecture", arch: true }, { name: "attempt" }, { name: "trial has failed", text: true }, { name: "when", text: true },
			{ name: "host", text: true }, { name: "device", text: true }, { name: "kind", text: true }, { name: "reason", text: true },
		],
		rows: failures.map(f => [f.trial, f.architecture, f.attempt, f.final ? "yes" : "no", minute(f.when), f.host, f.device, f.kind, f.reason]),
	}));
}

/** Returns a heading and a list, or nothing if there are no faults. */
function faultList(title, faults) {
	return faults.length === 0 ? [] : [h("h3", {}, title), h("ul", { class: "faults" }, faults.map(fault => h("li", {}, fault)))];
}

/** Ticks of an axis of times, in seconds: their texts, and where they are. */
const timeTicks = [["s", 1, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30]], ["min", 60, [1, 2, 5, 10, 20, 30]], ["h", 3600, [1, 2, 5, 10, 20, 50, 100, 200, 500]]]
	.flatMap(([unit, seconds, numbers]) => numbers.map(k => [`${k} ${unit}`, Math.log10(k * seconds)]));

function computeHours() {
	const group = shownGroup();
	const columns = group.trial_seconds.map(column => data.values(column));
	const seconds = columns.flatMap(values => Array.from(state.shown, i => values[i])).filter(v => v > 0);
	if (seconds.length === 0) return { empty: `${groupName(group)}: the training time of the trials shown is not known.` };
	const sorted = Float64Array.from(seconds).sort();
	const bins = binned(sorted.map(Math.log10), 0.005);
	const low = b => 10 ** b.low, high = b => 10 ** b.high;
	const median = quantile(sorted, 0.5);
	return {
		summary: `${groupName(group)}: ${plural(sorted.length, "trial")} from ${duration(sorted[0])} to ${duration(sorted.at(-1))}, median ${duration(median)}, `
			+ `${duration(sorted.reduce((sum, v) => sum + v, 0))} in total.`,
		height: 300,
		hit: "column",
		columns: [{ name: "from, seconds", format: short }, { name: "to, seconds", format: short }, { name: "trials" }],
		rows: bins.map(b => [low(b), high(b), b.count]),
		points: binPoints(bins, b => `${duration(low(b))} to ${duration(high(b))}: ${plural(b.count, "trial")}`),
		first: [0],
		option: theme => histogramOption(theme, {
			bins, marks: [{ name: "median", at: Math.log10(median) }], x: timeAxis(theme, bins), y: "trials",
		}),
	};
}

/** Returns what is particular about an axis of logarithms of seconds. */
function timeAxis(theme, bins) {
	const first = bins[0].low, last = bins.at(-1).high;
	const inside = timeTicks.filter(([, at]) => at >= first && at <= last);
	const ticks = new Map((inside.length >= 2 ? inside : [first, (first + last) / 2, last].map(at => [duration(10 ** at), at])).map(([text, at]) => [at, text]));
	const customValues = [...ticks.keys()];
	return {
		name: "training time, logarithmic",
		axisTick: { customValues },
		axisLabel: { customValues, color: theme.dim, fontSize: 11, hideOverlap: true, formatter: v => ticks.get(v) },
	};
}
