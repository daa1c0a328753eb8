// The campaign while it runs: its progress, the workers, the trials in progress, and failures.

/** The states of a planned trial: the field of the JSON, and its name. */
const trialStates = [["done", "finished"], ["running", "running"], ["failed", "failed"], ["damaged", "damaged"], ["left", "left"]];

/** Adds the section, which follows the status. A page that is a file does not have it. */
function showCampaign() {
	const section = byId("campaign");
	if (!isLive) {
		section.remove();
		return;
	}
	section.after(document.querySelector(".toolbar")); // which chooses what the sections below show
	const part = (attributes = {}) => section.appendChild(h("div", attributes));
	const sentence = section.appendChild(h("p", { class: "state" }));
	const bar = part({ class: "progress" });
	const facts = section.appendChild(h("dl", { class: "facts" }));
	const workers = part({ class: "workers" });
	addProgressPlot(section.id);
	const pair = part({ class: "pair" });
	const devices = pair.appendChild(h("div", { class: "workers" }));
	const groups = pair.appendChild(h("div"));
	const faults = part({ class: "lists" });
	const failures = part();
	const cut = section.appendChild(h("p", { class: "about", hidden: true }));
	const refresh = () => {
		const { campaign, failures: failedTrials } = state.status;
		setText(sentence, campaignState(campaign));
		patchChildren(bar, ...progressBar(campaign.totals));
		patchChildren(facts, ...campaignFacts(campaign).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
		workers.hidden = devices.hidden = workersOf(campaign).length === 0;
		putTable(workers, workerTable(campaign));
		putTable(devices, deviceTable(campaign));
		patchChildren(groups, progressTable(campaign.trials));
		patchChildren(faults,
			...faultList("Runs that no longer report", campaign.runs.filter(run => run.stale).map(run => `${run.host}, process ${run.pid}: ${run.stale}`)),
			...faultList("Files of the campaign that cannot be read", campaign.problems), ...faultList("Damaged records", campaign.damaged_records));
		putFailures(failures, campaign.failures);
		cut.hidden = !(failedTrials > campaign.failures.length);
		setText(cut, `These are the attempts of ${plural(campaign.failures.length, "trial")}. nb201 status shows those of all ${count(failedTrials)}.`);
	};
	state.subscribe(changed => state.status?.campaign && (changed.has("status") || changed.has("data")) && refresh());
}

const activeRuns = campaign => campaign.runs.filter(run => !run.stale);

/** Returns the workers of the active runs, with what they need of their run. */
const workersOf = campaign => activeRuns(campaign).flatMap(({ host, pid, seen, workers }) => workers.map(worker => ({ ...worker, host, pid, seen })));

const total = numbers => numbers.reduce((sum, v) => sum + v, 0);

/** Says in a sentence or two what the campaign does. */
function campaignState(campaign) {
	const { done, running, failed, damaged, left } = campaign.totals;
	const runs = activeRuns(campaign);
	const failures = failed === 0 ? "" : ` ${plural(failed, "trial")} failed.`;
	if (running + damaged + left === 0) return failed === 0 ? `All ${plural(done, "trial")} have finished.` : `${plural(done, "trial")} finished.${failures}`;
	if (runs.length === 0) return `No run is active; ${plural(left, "trial")} left${damaged > 0 ? `, ${plural(damaged, "record")} damaged` : ""}: nb201 run ${campaign.campaign} trains them.${failures}`;
	const devices = new Set(workersOf(campaign).map(w => `${w.host} ${w.device}`)).size;
	const hosts = new Set(runs.map(run => run.host)).size;
	const paused = runs.filter(run => run.paused).map(run => ` Paused on ${run.host}: ${run.paused}.`).join("");
	return `Running on ${plural(devices, "device")} of ${plural(hosts, "host")}.${paused}${failures}`;
}

/** Says whether there is nothing left to do in a campaign. */
const hasEnded = ({ planned, running, damaged, left }) => planned > 0 && running + damaged + left === 0;

/** Returns a picture of how many trials are in which state, and the same as text. */
function progressBar(totals) {
	const shares = trialStates.filter(([field]) => totals[field] > 0 || !["damaged", "failed"].includes(field));
	const width = v => `${(100 * v / Math.max(totals.planned, 1)).toFixed(3)}%`;
	let before = 0;
	const pieces = shares.map(([field]) => {
		const piece = svg("rect", { class: `is-${field}`, x: width(before), width: width(totals[field]), height: "100%" });
		before += totals[field];
		return piece;
	});
	return [
		svg("svg", { class: "bar", "aria-hidden": "true" }, ...pieces),
		h("ul", { class: "states", "aria-label": "Trials" }, ...shares.map(([field, name]) => h("li", {},
			svg("svg", { class: "box", "aria-hidden": "true" }, svg("rect", { class: `is-${field}`, width: "100%", height: "100%" })),
			h("strong", {}, count(totals[field])), ` ${name}`)), h("li", {}, `of ${count(totals.planned)} planned`)),
	];
}

const perHour = (n, { seconds }) => (seconds > 0 ? n / seconds * 3600 : 0);

/** Returns names and values of the campaign's rates and times. */
function campaignFacts({ last_hour: hour, hours, totals, runs, ...campaign }) {
	const rates = activeRuns({ runs }).length === 0 ? [] : [
		["Trials per hour", short(perHour(hour.trials, hour))],
		["Images per second", short(total(workersOf({ runs }).map(w => w.images_per_second ?? 0)))],
		["Million images per hour", short(perHour(hour.images, hour) / 1e6)],
		["Time left", hours.left > 0 ? duration(hours.left * 3600) : missingText],
	];
	const rest = campaign.done_but_not_in_the_plan;
	return [
		["Finished", `${fixed(1)(Math.floor(1000 * totals.done / Math.max(totals.planned, 1)) / 10)} %`], ...rates,
		["Time of finished trials", duration(hours.done * 3600)],
		...(hours.running > 0 ? [["Time of running trials", duration(hours.running * 3600)]] : []),
		...(rest > 0 ? [["Finished, not in the plan", count(rest)]] : []),
	];
}

/** Returns a table of the workers of active runs. */
function workerTable(campaign) {
	const workers = workersOf(campaign);
	return {
		caption: "Workers",
		columns: [
			{ name: "host", text: true }, { name: "device", text: true }, { name: "architecture", arch: true }, { name: "trial", text: true },
			{ name: "stage", text: true }, { name: "epoch", text: true }, { name: "images/s", format: count }, { name: "loss", format: short },
			{ name: "training, %", format: fixed(2) }, { name: "evaluation, %", text: true }, { name: "for", format: duration },
		],
		rows: workers.map(w => [
			w.host, deviceName(w, workers), w.trial?.architecture, w.trial ? `${w.trial.dataset}, seed ${w.trial.seed}` : missingText,
			w.attempt > 1 ? `${w.stage}, attempt ${w.attempt}` : w.stage, epochOf(w),
			w.images_per_second > 0 ? Math.round(w.images_per_second) : NaN, w.last_training?.loss, w.last_training?.top1_percent,
			w.last_evaluation ? `${w.last_evaluation.set} ${fixed(2)(w.last_evaluation.top1_percent)}` : missingText,
			Math.max(0, (new Date(w.seen) - new Date(w.since)) / 1000),
		]),
		key: (_, k) => JSON.stringify([workers[k].host, workers[k].pid, workers[k].device, workers[k].index]),
	};
}

/** Says in which epoch of how many a worker is, as nb201 status does. */
function epochOf({ trial, epoch = 0, epochs = 0 }) {
	if (!trial) return missingText;
	return epochs > 0 ? `${epoch + 1} of ${epochs}` : `${missingText} of ${trial.epochs}`;
}

/** Names the device of a worker, with the worker's number if others share the device. */
const deviceName = (w, workers) =>
	(workers.some(other => other !== w && other.host === w.host && other.device === w.device) ? `${w.device} #${w.index}` : w.device);

/** Returns a table of the devices of active runs. */
function deviceTable(campaign) {
	const devices = Object.values(Object.groupBy(workersOf(campaign), w => JSON.stringify([w.host, w.device])));
	return {
		caption: "Devices",
		columns: [{ name: "host", text: true }, { name: "device", text: true }, { name: "workers" }, { name: "images/s", format: count }],
		rows: devices.map(ws => [ws[0].host, ws[0].device, ws.length, Math.round(total(ws.map(w => w.images_per_second ?? 0)))]),
		key: row => JSON.stringify(row.slice(0, 2)),
	};
}

/** Adds the plot of the curves of trials in progress. */
function addProgressPlot(section) {
	const show = { loss: false, set: "train" };
	const list = h("ul", { class: "chosen", "aria-label": "Trials drawn" });
	const sets = labelledSelect("Set", [], "", set => change({ set }));
	const change = changes => {
		Object.assign(show, changes);
		plot.invalidate();
	};
	const plot = addPlot({
		name: "progress",
		title: "Trials in progress",
		about: "Accuracy or loss of the trials that workers train now, after each epoch, counted from 0.",
		section,
		controls: [labelledSelect("Measure", [["top1", "accuracy"], ["loss", "loss"]], "top1", v => change({ loss: v === "loss" })), sets, list],
		uses: ["progress"],
		always: true,
		compute: () => {
			const trials = runningTrials();
			const names = [...new Set(["train", ...trials.flatMap(t => t.curves.map(c => c.set))])];
			if (!names.includes(show.set)) show.set = "train";
			setOptions(sets.querySelector("select"), names.map(name => [name, name]), show.set);
			const lines = linesOf(trials, show);
			patchChildren(list, ...lines.map(line => h("li", {},
				swatch({ colour: line.look, dash: line.dash, symbol: line.look }), line.arch < 0 ? line.name : archButton(data.index[line.arch], line.name))));
			return computeProgress(lines, show);
		},
	});
	let drawn = "";
	state.subscribe(changed => {
		if (!changed.has("status")) return;
		const now = JSON.stringify(runningTrials());
		if (now !== drawn) state.mark("progress");
		drawn = now;
	});
}

/** Returns the trials in progress, with their curves. A run of an older version reports only the last passes. */
function runningTrials() {
	const { campaign } = state.status ?? {};
	return (campaign ? workersOf(campaign) : []).flatMap((w, at) => {
		if (!w.trial) return [];
		const passes = [w.last_training, w.last_evaluation].filter(p => p);
		const curves = w.curves ?? passes.map(p => ({ set: p.set, epochs: [p.epoch], loss: [p.loss], top1_percent: [p.top1_percent] }));
		return [{ at, trial: w.trial, curves }];
	});
}

/** Names a trial by its architecture and what distinguishes it from the other trials in progress. */
function shortName(trial, trials) {
	const differs = field => trials.some(other => other.trial[field] !== trial[field]);
	return [
		`Architecture ${trial.architecture}`, ...(differs("dataset") ? [trial.dataset] : []), ...(differs("epochs") || differs("recipe") ? [trialSchedule(trial)] : []),
		...(differs("seed") ? [`seed ${trial.seed}`] : []),
	].join(", ");
}

/** Returns the lines of trials in progress on a set. A worker's lines always look the same. */
function linesOf(trials, { loss, set }) {
	return trials.flatMap(({ at, trial, curves }) => {
		const curve = curves.find(c => c.set === set);
		const all = curve?.[loss ? "loss" : "top1_percent"] ?? [];
		const known = all.flatMap((v, k) => (v === null ? [] : [k]));
		return known.length === 0 ? [] : [{
			trial, name: shortName(trial, trials), arch: data.position(trial.architecture), last: trial.epochs - 1,
			look: at % symbols.length, dash: Math.floor(at / symbols.length), epochs: known.map(k => curve.epochs[k]), values: known.map(k => all[k]),
		}];
	});
}

function computeProgress(lines, { loss, set }) {
	if (lines.length === 0) return { empty: "No trial in progress has finished an epoch." };
	const measure = loss ? "loss" : "accuracy";
	const text = loss ? short : percent;
	return {
		summary: `${plural(lines.length, "trial")} in progress. ${set}, last: `
			+ lines.slice(0, maxChosen).map(line => `${line.name}: ${text(line.values.at(-1))}`).join("; ") + (lines.length > maxChosen ? "; ..." : "."),
		columns: [
			{ name: "architecture", arch: true }, { name: "dataset" }, { name: "schedule" }, { name: "seed" }, { name: "set" }, { name: "epoch" },
			{ name: loss ? measure : `${measure}, %`, format: loss ? short : fixed(2) },
		],
		rows: lines.flatMap(({ trial, epochs, values }) =>
			epochs.map((epoch, k) => [trial.architecture, trial.dataset, trial.recipe ?? trial.epochs, trial.seed, set, epoch, values[k]])),
		points: lines.flatMap((line, series) => line.epochs.map((x, k) => ({ label: line.name, arch: line.arch, x, y: line.values[k], series }))),
		describe: ({ x, y }) => [["epoch", count(x)], [`${measure}, ${set}`, text(y)]],
		height: 320,
		first: offsets(lines),
		option: theme => ({
			grid: { left: 8, right: 18, top: 14, bottom: 8 },
			xAxis: epochAxis(theme, 0, Math.max(...lines.map(line => line.last))),
			yAxis: axis(theme, { type: "value", scale: true, name: loss ? "loss" : "accuracy, %", nameGap: 40 }),
			series: lines.map(line => lineSeries(line, theme)),
		}),
	};
}
