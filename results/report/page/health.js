// How trials were made, their times, and in a page that is a file the campaign's progress and failures.

/** Adds the tables and the histogram of times. */
function showHealth() {
	const section = byId("health");
	const { campaign } = content; // of a page that lives, the campaign has a section
	if (campaign) {
		const failures = h("div");
		section.append(progressTable(campaign.trials), failures, ...faultList("Files of the campaign that cannot be read", campaign.problems));
		putFailures(failures, campaign.failures);
	}
	const damaged = h("div");
	section.append(damaged);
	addPlot({
		name: "hours",
		title: "Time of trials",
		about: "Training time of the trials of the architectures shown, on the selected dataset and schedule: all training passes, without the evaluations.",
		section: section.id,
		uses: ["group", "shown"],
		compute: computeHours,
	});
	const made = h("div");
	section.append(h("h3", {}, "How the trials were made"), made);
	const refresh = () => {
		patchChildren(damaged, ...faultList("Damaged and left out", content.health.damaged));
		patchChildren(made, ...howMade());
	};
	state.subscribe(changed => changed.has("data") && refresh());
	refresh();
}

/** Returns a sentence on when the trials were made, and tables of how. */
function howMade() {
	const { health, source } = content;
	if (content.groups.length === 0) return [h("p", {}, "No trial has finished.")];
	if (health.tables.length === 0) return [h("p", {}, `The format ${source.format} does not record how trials were made.`)];
	return [
		h("p", { class: "about" },
			`The first trial started at ${minute(health.first)}, the last one finished at ${minute(health.last)}. Times are those of all passes.`),
		h("div", { class: "tallies" }, health.tables.map(({ title, rows }) => makeTable({
			columns: [{ name: title, text: true }, { name: "trials", format: count }, { name: "time", format: duration }],
			rows: rows.map(row => [row.name, row.trials, row.hours * 3600]),
		}))),
	];
}

/** Formats a time of the JSON. */
const minute = time => `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;

function progressTable(groups) {
	const fields = ["planned", "done", "damaged", "running", "failed", "left"].filter(name => name !== "damaged" || groups.some(g => g.damaged > 0));
	return makeTable({
		caption: "Trials planned",
		columns: [
			{ name: "dataset", text: true }, { name: "schedule" }, ...fields.map(name => ({ name: name === "done" ? "finished" : name, format: count })),
		],
		rows: groups.map(g => [g.dataset, g.schedule, ...fields.map(name => g[name])]),
	});
}

/** Names a trial in words. */
const trialName = trial => `architecture ${trial.architecture} on ${trial.dataset}, ${trialSchedule(trial)}, seed ${trial.seed}`;

/** Returns the failed attempts of trials, the newest first. */
function failedAttempts(failures) {
	return failures.flatMap(({ trial, set_aside: failed, attempts }) => attempts.map((attempt, k) => ({ ...attempt, trial, failed, number: k + 1 })))
		.sort((a, b) => new Date(b.when) - new Date(a.when));
}

/** Puts a table of failed attempts into an element, the newest first. */
function putFailures(place, failures) {
	if (failures.length === 0) {
		patchChildren(place, h("p", {}, "No attempt failed."));
		return;
	}
	place.classList.add("failures");
	putTable(place, {
		caption: "Failed attempts",
		columns: [
			{ name: "trial", text: true }, { name: "architecture", arch: true }, { name: "attempt" }, { name: "then", text: true }, { name: "when", text: true },
			{ name: "host", text: true }, { name: "device", text: true }, { name: "kind", text: true }, { name: "reason", text: true },
		],
		rows: failedAttempts(failures).map(f =>
			[`${f.trial.dataset}, ${trialSchedule(f.trial)}, seed ${f.trial.seed}`, f.trial.architecture, f.number, f.failed ? "trial failed" : "retried", minute(f.when), f.host, f.device, f.kind, f.reason]),
		key: row => JSON.stringify(row.slice(0, 3)),
	});
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
