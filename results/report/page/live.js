// Keeps the page up to date: receives the status as server-sent events, and loads the data when the
// status names another version of it. The server is nb201 serve.

/**
 * @typedef {object} Status
 * @property {string} program name and version of the program that serves the page
 * @property {string} path of the benchmark
 * @property {string} format
 * @property {string} page version of the page: if it changes, the page loads itself again
 * @property {string} data version of the data, "" if there are none
 * @property {{done: number, total: number}} [reading] architectures, while the benchmark is read for the first time
 * @property {string} [missing] why the benchmark cannot be read now
 * @property {object} [campaign] what nb201 status --json prints; not of published files
 * @property {number} [failures] trials with failed attempts, of which campaign.failures may list only some
 */

const shortestWait = 1000, longestWait = 30_000; // milliseconds before another try
const shortGap = 3000; // milliseconds without a connection that the page does not mention

/** Returns a function that returns how long to wait before another try, longer each time, and one that starts over. */
function backOff() {
	let wait = shortestWait;
	return {
		next() {
			const now = wait * (0.75 + Math.random() / 4); // or all pages would come back at once
			wait = Math.min(2 * wait, longestWait);
			return now;
		},
		reset() { wait = shortestWait; },
	};
}

function startLive() {
	setText(document.querySelector("h1"), "nb201 live");
	const loader = newLoader();
	const waits = backOff();
	const line = byId("connection");
	let source, again, mention, heard = 0, page;

	const show = (lost, text = lost ? "Connection lost; retrying" : "Live") => {
		clearTimeout(mention);
		mention = null;
		line.classList.toggle("lost", lost);
		setText(line, text);
	};
	/** Shows that the server wants a token, if so: an EventSource does not say why it is refused. */
	const askWhy = async () => {
		const answer = await fetch("api/v1/events", { method: "HEAD", cache: "no-store" }).catch(() => null);
		if (answer?.status === 401) show(true, "The server wants another token; open the link that it printed");
	};
	const lose = () => {
		source.close();
		loader.stop();
		mention ??= setTimeout(() => show(true), shortGap);
		clearTimeout(again);
		again = setTimeout(connect, waits.next());
	};
	const receive = status => {
		heard = Date.now();
		page ??= status.page;
		if (status.page !== page) {
			source.close();
			location.reload();
			return;
		}
		waits.reset();
		show(false);
		announceChanges(state.status, status);
		state.update({ status });
		document.title = pageTitle(status);
		loader.want(status.data);
	};
	const connect = () => {
		clearTimeout(again);
		source?.close();
		const stream = new EventSource("api/v1/events");
		stream.addEventListener("status", event => stream === source && receive(JSON.parse(event.data)));
		stream.addEventListener("error", () => {
			if (stream !== source) return;
			if (stream.readyState === EventSource.CLOSED) askWhy(); // it was answered, but refused
			lose();
		});
		source = stream;
	};
	mention = setTimeout(() => show(true), shortGap);
	connect();
	// A computer that slept may not notice that the connection is gone.
	const wake = () => !document.hidden && Date.now() - heard > longestWait && connect();
	addEventListener("online", wake);
	document.addEventListener("visibilitychange", () => {
		wake();
		loader.load();
	});
	state.subscribe(changed => changed.has("status") && showTrouble());
}

/** Returns what loads the data of the wanted version, one load at a time. */
function newLoader() {
	const waits = backOff();
	let wanted = "", shown = "", running = null, again;
	let dropped = false; // the last answer
	const loadOnce = async signal => {
		const version = wanted;
		const response = await fetch("data", { signal, cache: "no-cache" });
		if (!response.ok) throw new Error(`the server answers ${response.status}`);
		const lines = (await response.text()).split("\n");
		// Of a connection that is slower than the campaign, every second answer is shown.
		dropped = wanted !== version && !dropped;
		if (dropped) return;
		const next = await makeData(lines[0], lines[1], () => lines[2]);
		if (data.needsCurves) await next.curves; // what is drawn now stays until the next can be drawn
		signal.throwIfAborted();
		state.replace(next);
		shown = version;
	};
	const loader = {
		/** Loads the data unless they are what is shown, or nobody looks. */
		async load() {
			if (running || document.hidden) return;
			clearTimeout(again);
			running = new AbortController();
			const { signal } = running;
			try {
				while (wanted !== "" && wanted !== shown) await loadOnce(signal);
				waits.reset();
				state.trouble = "";
			} catch (error) {
				if (!signal.aborted) {
					state.trouble = error.message;
					again = setTimeout(loader.load, waits.next());
				}
			}
			running = null;
			showTrouble();
		},
		want(version) {
			wanted = version;
			loader.load();
		},
		/** Drops what is being loaded. */
		stop() {
			running?.abort();
			clearTimeout(again);
		},
	};
	return loader;
}

/** Shows why the page cannot show the newest data, if so. */
function showTrouble() {
	const line = byId("trouble");
	const text = state.status?.missing ? `The benchmark cannot be read: ${state.status.missing}.` : state.trouble ? `The data cannot be loaded: ${state.trouble}. Retrying.` : "";
	line.hidden = text === "";
	setText(line, text && content.groups.length > 0 ? `${text} The page shows what was read last.` : text);
}

/** Says why the page shows no trial. */
function whyNothing() {
	const { status } = state;
	if (!status) return [h("p", {}, "Waiting for the server.")];
	if (status.reading) {
		const { done, total } = status.reading;
		const text = `Reading the benchmark: ${count(done)} of ${plural(total, "architecture")}`;
		return [h("p", {}, text), h("progress", { value: String(done), max: String(Math.max(total, 1)), "aria-label": "Architectures read" })];
	}
	if (status.trials > 0) return [h("p", {}, "Loading the data.")];
	return [h("p", {}, "No trial has finished yet. The plots appear when one has.")];
}

function pageTitle({ campaign, path }) {
	const share = campaign?.totals.planned > 0 ? `${Math.floor(100 * campaign.totals.done / campaign.totals.planned)} % of ` : "";
	return `${share}${path} - nb201`;
}

/** Reads to users of screen readers what is new and important: failures, and the end. */
function announceChanges(before, { campaign }) {
	if (!before?.campaign || !campaign) return;
	const keyOf = f => `${trialName(f.trial)} ${f.number}`;
	const known = new Set(failedAttempts(before.campaign.failures).map(keyOf));
	const added = failedAttempts(campaign.failures).filter(f => !known.has(keyOf(f)));
	const news = [];
	if (added.length > 0) news.push(`${added.length > 1 ? `${plural(added.length, "attempt")} failed, the last one` : "An attempt failed"}: ${trialName(added[0].trial)}: ${added[0].reason}.`);
	if (hasEnded(campaign.totals) && !hasEnded(before.campaign.totals)) news.push(campaignState(campaign));
	if (news.length > 0) announce(news.join(" "));
}
