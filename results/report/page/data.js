// Unpacks what the page shows: the JSON and, beside it, the packed columns of numbers (see pack.go
// and content.go).

/** Returns the text of a script element, which it removes: the text is long and needed once. */
function takeText(id) {
	const element = document.getElementById(id);
	const text = element.textContent.trim();
	element.remove();
	return text;
}

/** Unpacks base64 of deflated bytes, in pieces, so that no task is long. */
async function unpack(text) {
	const pieceLength = 1 << 19; // a multiple of 4
	let at = 0;
	const packed = new ReadableStream({
		async pull(controller) {
			await nextTask();
			const piece = atob(text.slice(at, at + pieceLength));
			const bytes = new Uint8Array(piece.length);
			for (let i = 0; i < piece.length; i++) bytes[i] = piece.charCodeAt(i);
			controller.enqueue(bytes);
			at += pieceLength;
			if (at >= text.length) controller.close();
		},
	}, { highWaterMark: 1 });
	const unpacked = packed.pipeThrough(new DecompressionStream("deflate-raw"));
	return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** Resolves in a task of its own. */
function nextTask() {
	return new Promise(resolve => {
		const channel = new MessageChannel();
		channel.port1.onmessage = () => {
			channel.port1.close();
			resolve();
		};
		channel.port2.postMessage(null);
	});
}

/** Links each packed column in the content with the one that it is the difference from. */
function linkColumns(content) {
	const byPlace = new Map();
	const columns = [];
	const visit = value => {
		if (typeof value !== "object" || value === null) return;
		if ("planes" in value && !value.mean) {
			byPlace.set(`${value.block}:${value.at}`, value);
			columns.push(value);
		}
		Object.values(value).forEach(visit);
	};
	visit(content);
	for (const c of columns) {
		if (c.after) c.previous = byPlace.get(c.after.join(":"));
	}
}

/** Returns the columns of a run of n values each. */
function expandRun(run, n) {
	const columns = [];
	for (let k = 0; k < run.count; k++) {
		columns.push({
			block: run.block, at: run.at + k * n * run.planes, planes: run.planes, scale: run.scale,
			previous: run.chain ? columns[k - 1] : undefined,
		});
	}
	if (run.last) columns.push(run.last);
	return columns;
}

/**
 * Makes the page's data of what the program wrote: the content as JSON, and the blocks of columns.
 * `curves` returns the text of the second block. Positions are those of architectures in the columns;
 * indices are those in the search space.
 */
async function makeData(json, summary, curves) {
	const content = JSON.parse(json);
	linkColumns(content);
	const n = content.source.architectures;
	for (const set of content.groups.flatMap(g => g.sets)) {
		set.curves = set.curves.map(run => expandRun(run, n));
		set.loss_curves = set.loss_curves.map(run => expandRun(run, n));
		set.sd = set.sd ? expandRun(set.sd, n) : [];
	}
	const blocks = [await unpack(summary), null];
	const cache = new WeakMap(); // values of columns of the summary

	const level = (column, i) => {
		const bytes = blocks[column.block];
		let code = 0;
		for (let plane = column.planes - 1; plane >= 0; plane--) code = 256 * code + bytes[column.at + plane * n + i];
		if (code === 0) return -1;
		const z = code - 1;
		if (!column.previous) return z;
		return (Math.max(level(column.previous, i), 0) + ((z >>> 1) ^ -(z & 1))) & 0xffff;
	};
	/** Returns the value of one architecture in a column, NaN where it is missing. */
	const value = (column, i) => {
		if (column.mean) {
			const known = column.mean.map(c => value(c, i)).filter(v => !Number.isNaN(v));
			return known.reduce((sum, v) => sum + v, 0) / known.length;
		}
		const q = level(column, i);
		const { kind, step, low, ratio, values } = column.scale;
		if (q < 0) return NaN;
		if (kind === "table") return values[q];
		return kind === "log" ? low * ratio ** q : q * step;
	};
	/** Returns the values of all architectures in a column: do not change them. */
	const values = column => {
		let all = cache.get(column);
		if (!all) {
			all = column.mean ? meanOf(column.mean.map(values)) : unpackColumn(column);
			if (column.block === 0) cache.set(column, all);
		}
		return all;
	};
	const unpackColumn = column => {
		const all = new Float64Array(n);
		for (let i = 0; i < n; i++) all[i] = value(column, i);
		return all;
	};
	const meanOf = columns => {
		const all = new Float64Array(n);
		for (let i = 0; i < n; i++) {
			let sum = 0, known = 0;
			for (const column of columns) {
				if (Number.isNaN(column[i])) continue;
				sum += column[i];
				known++;
			}
			all[i] = sum / known;
		}
		return all;
	};

	const index = Int32Array.from(values(content.index));
	const positions = new Map(Array.from(index, (v, i) => [v, i]));
	const { places, options, text: between } = content.space;
	const digits = new Uint8Array(places.length * n); // the options of all architectures
	values(content.code).forEach((code, i) => {
		for (let at = 0, rest = code; at < places.length; at++, rest = Math.floor(rest / options.length)) digits[places.length * i + at] = rest % options.length;
	});
	/** Returns the options of an architecture, as indices of content.space.options, by place. */
	const choices = i => Array.from(digits.subarray(places.length * i, places.length * (i + 1)));
	/** Returns the option of an architecture at a place. */
	const choice = (i, at) => digits[places.length * i + at];
	/** Returns the string of an architecture. */
	const text = i => choices(i).map((option, at) => between[at] + options[option]).join("") + between.at(-1);
	let unpacking = null;
	return {
		content, n, index, choice, choices, text, value, values,
		cls: i => values(content.class)[i],
		position: v => positions.get(v) ?? -1,
		/** Resolves once the columns of curves are unpacked, which starts when they are first needed. */
		get curves() {
			unpacking ??= unpack(curves()).then(bytes => { blocks[1] = bytes; });
			return unpacking;
		},
		get hasCurves() { return blocks[1] !== null; },
		/** Says whether somebody asked for the columns of curves. */
		get needsCurves() { return unpacking !== null; },
	};
}

/** Makes data without any trial. */
const noData = () => makeData(JSON.stringify({
	source: { path: "", format: "", architectures: 0, trials: 0 }, notes: [], groups: [], index: {}, code: {}, class: {},
	space: { words: {}, places: [], options: [], text: [""] }, measures: [], kendall: [], spearman: [], common: [], health: { tables: [], damaged: [] },
}), "AwA=", () => "AwA="); // no byte, deflated

/** Says whether a server keeps the page up to date. The data of a page that is a file are in it. */
const isLive = !document.getElementById("content");

let data = await (isLive ? noData() : makeData(takeText("content"), takeText("summary"), () => takeText("curves")));
let content = data.content;
