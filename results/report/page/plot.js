// Wraps ECharts: draws a plot when it comes into sight and again when the state, the size or the
// theme changes, finds the point under the pointer, moves through points from the keyboard, and gives
// each plot a table and a CSV file of its numbers.

/**
 * What a plot's compute() returns, unless it returns {empty: "a sentence that says why"}.
 * @typedef {object} Drawing
 * @property {string} summary a sentence or two about what the plot shows, for reading aloud
 * @property {{name: string, format?: function, arch?: boolean}[]} columns of the table and the CSV file
 * @property {Array[] | function} rows all of them; numbers and strings
 * @property {Point[]} points those that answer to the pointer and to the keyboard
 * @property {number[]} first the offset in points of each ECharts series, -1 for one that is decorative
 * @property {function} option (theme, width in pixels) => ECharts option, without a tooltip
 * @property {function} [describe] (point) => [[name, text], ...], the lines of its tooltip
 * @property {"near" | "column" | "row" | "cell"} [hit] where a point answers: near it (default), in the
 *   whole column of the plot above and below it (bars), in its cell (heat maps), or on it and, if it is
 *   the last one at its y, in the whole row (boxes)
 * @property {number} [height] of the plot in pixels
 *
 * @typedef {object} Point
 * @property {string} label
 * @property {number} arch position of an architecture, or -1
 * @property {number} x as in the data of the ECharts series
 * @property {number} y
 * @property {number} series of points among which the left and right arrows move
 */

const plots = {};
const timing = { firstPlot: null };
window.nb201 = { plots, timing };

const fontFamily = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

/** Reads the colours of the theme from page.css. */
function readTheme() {
	const probe = h("span", { hidden: true });
	document.body.append(probe);
	const colour = name => {
		probe.style.color = `var(--${name})`;
		return getComputedStyle(probe).color;
	};
	const colours = {};
	for (const name of ["ink", "dim", "line", "grid", "paper", "accent", "low", "middle", "high"]) colours[name] = colour(name);
	colours.series = Array.from({ length: 8 }, (_, k) => colour(`series-${k}`));
	probe.remove();
	return colours;
}

const symbols = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle", "emptyDiamond"];
const dashes = ["solid", [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [2, 6], [9, 3, 2, 3, 2, 3]];

/** Returns how series k looks: no two differ in colour alone. */
const look = (theme, k) => ({ color: theme.series[k % 8], symbol: symbols[k % 8], dash: dashes[k % 8] });

/** Returns the style of an axis, with what else is set of it. */
function axis(theme, more) {
	return {
		nameLocation: "middle",
		nameGap: 30,
		nameTextStyle: { color: theme.dim, fontSize: 12 },
		axisLine: { show: true, onZero: false, lineStyle: { color: theme.line } },
		axisTick: { show: true, lineStyle: { color: theme.line } },
		axisLabel: { color: theme.dim, fontSize: 11, hideOverlap: true },
		splitLine: { show: true, lineStyle: { color: theme.grid } },
		minorSplitLine: { show: false },
		...more,
	};
}

/** Returns the style of a legend, which does not answer to clicks: plots have controls for that. */
const legend = (theme, more) => ({
	selectedMode: false, top: 0, left: 0, itemGap: 16, itemWidth: 22, itemHeight: 9,
	textStyle: { color: theme.ink, fontSize: 12 }, ...more,
});

/** Returns a quantile of sorted values, interpolated between neighbours: share 0.5 is the median. */
function quantile(sorted, share) {
	const at = share * (sorted.length - 1);
	const low = sorted[Math.floor(at)], high = sorted[Math.ceil(at)];
	return low + (at % 1) * (high - low);
}

/**
 * Returns the range of an axis of percentages for values without outliers, which lie far below the
 * lower quartile. `least` is the least value in the range, and `below` the number of outliers.
 */
function mainRange(values) {
	const sorted = Float64Array.from(values).sort();
	const low = quantile(sorted, 0.25), high = quantile(sorted, 0.75);
	const fence = low - 3 * Math.max(high - low, 1);
	let below = 0;
	while (sorted[below] < fence) below++;
	return { ...withRoom(sorted[below], sorted.at(-1)), least: sorted[below], below };
}

/** Returns the smallest of 1, 2, 5, 10, ... times a power of ten that is not below v. */
function niceStep(v) {
	const power = 10 ** Math.floor(Math.log10(v));
	return [1, 2, 5, 10].map(m => m * power).find(step => step >= v * (1 - 1e-9));
}

/** Returns a range that ends at round numbers, with some room, within 0 and 100 (percent). */
function withRoom(low, high) {
	const span = Math.max(high - low, 0.5);
	const interval = niceStep(0.16 * span);
	const round = (v, to) => Number((to(v / interval) * interval).toFixed(6));
	return {
		min: Math.max(0, round(low - 0.02 * span, Math.floor)), max: Math.min(100, round(high + 0.02 * span, Math.ceil)), interval,
	};
}

// Jobs run one at a time, each in a task of its own, so that the page stays responsive.
const jobs = new Map();
let working = null;

function later(key, job) {
	jobs.set(key, job);
	working ??= work();
}

async function work() {
	while (jobs.size > 0) {
		await nextTask();
		const [key, job] = jobs.entries().next().value;
		jobs.delete(key);
		try {
			job();
		} catch (error) {
			reportError(error); // of one plot: the others are drawn all the same
		}
	}
	working = null;
}

const tooltip = h("div", { class: "tooltip", "aria-hidden": "true", hidden: true });
document.body.append(tooltip);

/** Shows the tooltip beside a place in the window, inside the window. */
function showTooltip(x, y, label, lines) {
	tooltip.replaceChildren(
		h("strong", {}, label),
		h("dl", {}, lines.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]).flat()));
	tooltip.hidden = false;
	const { offsetWidth: width, offsetHeight: height } = tooltip;
	const gap = 14, edge = 6;
	const roomRight = document.documentElement.clientWidth - edge - width;
	const left = x + gap <= roomRight ? x + gap : x - gap - width;
	const top = y - gap - height >= edge ? y - gap - height : y + gap;
	tooltip.style.left = `${Math.max(edge, Math.min(left, roomRight))}px`;
	tooltip.style.top = `${Math.max(edge, Math.min(top, innerHeight - edge - height))}px`;
}

const nearby = 28; // pixels from a point at which it answers to the pointer
const onPoint = 6; // pixels from a point that still count as on it

class Plot {
	/**
	 * @param {object} spec
	 * @param {string} spec.name
	 * @param {string} spec.title
	 * @param {string} spec.about one or two sentences: what is drawn, units, how to read it
	 * @param {string} spec.section id of the element that the figure is added to
	 * @param {Element[]} [spec.controls]
	 * @param {string[]} [spec.uses] names in the state that the drawing depends on, besides the data
	 * @param {boolean} [spec.always] the plot has something to show even if no trial has finished
	 * @param {function} spec.compute () => Drawing
	 * @param {function} [spec.open] (point) => what a click does
	 */
	constructor({ name, title, about, section, controls = [], uses = ["group", "set", "shown"], always = false, compute, open }) {
		Object.assign(this, { name, title, uses, always, compute });
		this.open = open ?? (point => point.arch >= 0 && openArchitecture(point.arch));
		this.drawing = null; // nothing is computed yet, or it is stale
		this.drawn = false;
		this.current = -1; // the point that is marked
		this.marked = null; // what it is; a later drawing may have it too
		this.inSight = false;

		this.canvas = h("div", {
			class: "canvas", tabindex: "0", role: "application", "aria-roledescription": "interactive plot",
			onpointermove: event => this.hover(event), onpointerleave: () => this.leave(), onblur: () => this.leave(),
			onclick: event => this.click(event), onkeydown: event => this.key(event),
		});
		this.marker = h("div", { class: "marker", hidden: true });
		this.summary = h("p", { class: "summary" });
		this.empty = h("p", { class: "empty", hidden: true });
		this.frame = h("div", { class: "frame" }, this.canvas, this.marker);
		this.tableButton = h("button", {
			type: "button", "data-action": "table", "aria-expanded": "false", onclick: () => this.toggleTable(),
		}, "Show as a table");
		this.csvButton = h("button", { type: "button", "data-action": "csv", onclick: () => this.save() }, "Download CSV");
		this.table = h("div", { class: "numbers", hidden: true });
		this.actions = h("div", { class: "actions" }, this.tableButton, this.csvButton);
		this.figure = h("figure", { "data-plot": name },
			h("figcaption", {}, h("h3", {}, title), h("p", { class: "about" }, about)),
			controls.length > 0 ? h("div", { class: "controls" }, controls) : null,
			this.frame, this.empty, this.summary, this.actions, this.table);
		byId(section).append(this.figure);

		state.subscribe(changed => ["data", ...this.uses].some(key => changed.has(key)) && this.invalidate());
		new IntersectionObserver(([entry]) => {
			this.inSight = entry.isIntersecting;
			if (this.inSight && !this.drawn) this.schedule();
		}, { rootMargin: "200px" }).observe(this.figure);
		new ResizeObserver(() => this.resize()).observe(this.canvas);
	}

	/** Gives the plot another title and another description. */
	rename(title, about) {
		this.title = title;
		setText(this.figure.querySelector("h3"), title);
		setText(this.figure.querySelector(".about"), about);
	}

	/** Computes and draws the plot again, once it is in sight. */
	invalidate() {
		this.drawing = null;
		this.redraw();
	}

	/** Draws the plot again, once it is in sight. */
	redraw() {
		this.drawn = false;
		if (this.inSight) this.schedule();
	}

	schedule() {
		later(this, () => this.draw());
	}

	/** Returns what the plot shows. */
	computed() {
		this.drawing ??= this.always || content.groups.length > 0 ? this.compute() : { empty: "No trial has finished." };
		return this.drawing;
	}

	draw() {
		const drawing = this.computed();
		const nothing = Boolean(drawing.empty);
		const marked = this.marked;
		this.leave();
		this.drawn = true;
		this.pixels = null;
		this.orders = null;
		for (const part of [this.frame, this.actions]) part.hidden = nothing;
		this.empty.hidden = !nothing;
		setText(this.empty, drawing.empty ?? "");
		setText(this.summary, drawing.summary ?? "");
		if (nothing) {
			this.table.hidden = true;
			this.tableButton.setAttribute("aria-expanded", "false");
			return;
		}
		this.canvas.setAttribute("aria-label", `${this.title}. ${drawing.summary}`);
		if (drawing.height) this.canvas.style.height = `${drawing.height}px`;
		if (!this.chart) {
			// On paper, a canvas has no height before it is drawn.
			this.chart = echarts.init(this.canvas, null, { renderer: "canvas", height: drawing.height ?? (this.canvas.clientHeight || 340) });
			this.chart.on("rendered", () => { timing.firstPlot ??= performance.now(); });
		} else if (!this.fits()) {
			this.chart.resize({ width: this.canvas.clientWidth, height: this.canvas.clientHeight });
		}
		this.chart.setOption({
			animation: false, backgroundColor: "transparent", textStyle: { fontFamily }, aria: { enabled: false },
			...drawing.option(colours, this.chart.getWidth()),
		}, { notMerge: true });
		if (!this.table.hidden) this.fillTable();
		const again = marked ? drawing.points.findIndex(p => p.label === marked.label && p.series === marked.series && (p.x === marked.x || p.arch >= 0 && p.y === marked.y)) : -1;
		if (again >= 0) this.mark(again);
	}

	resize() {
		if (this.chart && this.drawn && !this.frame.hidden && !this.fits()) this.redraw();
	}

	fits() {
		return this.canvas.clientWidth === this.chart.getWidth() && this.canvas.clientHeight === this.chart.getHeight();
	}

	/** Returns the place of point i in the plot, in pixels. */
	place(i) {
		if (!this.pixels) {
			const { points, first } = this.computed();
			this.pixels = new Float32Array(2 * points.length);
			first.forEach((offset, seriesIndex) => {
				if (offset < 0) return;
				const end = Math.min(points.length, ...first.filter(next => next > offset));
				// As chart.convertToPixel does, which is too slow for many points.
				const axes = this.chart.getModel().getSeriesByIndex(seriesIndex).coordinateSystem;
				for (let k = offset; k < end; k++) {
					const [x, y] = axes.dataToPoint([points[k].x, points[k].y]);
					this.pixels[2 * k] = x;
					this.pixels[2 * k + 1] = y;
				}
			});
		}
		return [this.pixels[2 * i], this.pixels[2 * i + 1]];
	}

	/** Returns the point that answers at a place in the plot, or -1. */
	at(x, y) {
		const { points, hit = "near" } = this.computed();
		const rect = this.gridRect();
		const inside = x >= rect.x && x <= rect.x + rect.width && y >= rect.y && y <= rect.y + rect.height;
		if (hit !== "near" && !inside) return -1;
		let best = -1, least = hit === "near" ? nearby ** 2 : Infinity;
		for (let i = 0; i < points.length; i++) {
			const [px, py] = this.place(i);
			const dx = hit === "row" ? Math.min(Math.abs(px - x), onPoint) : px - x;
			const dy = hit === "column" ? 1e-3 * (py - y) : py - y;
			const distance = dx * dx + dy * dy;
			// The later of two points at one place is drawn above the other.
			if (distance <= least && this.isInGrid(px, py, rect)) [best, least] = [i, distance];
		}
		return best;
	}

	/** Returns the rectangle of the plot inside its axes, in pixels. */
	gridRect() {
		const grid = this.chart.getModel().getComponent("grid");
		return grid ? grid.coordinateSystem.getRect() : { x: 0, y: 0, width: this.chart.getWidth(), height: this.chart.getHeight() };
	}

	isInGrid(x, y, rect) {
		return x >= rect.x - 1 && x <= rect.x + rect.width + 1 && y >= rect.y - 1 && y <= rect.y + rect.height + 1;
	}

	hover(event) {
		if (!this.drawn) return;
		const { left, top } = this.canvas.getBoundingClientRect();
		const i = this.at(event.clientX - left, event.clientY - top);
		if (i === this.current) return;
		if (i < 0) this.leave();
		else this.mark(i);
	}

	click(event) {
		this.hover(event);
		if (this.current >= 0) this.open(this.computed().points[this.current]);
	}

	/** Marks point i and shows its tooltip. */
	mark(i) {
		const { points, describe = () => [], hit } = this.computed();
		const point = points[i];
		this.current = i;
		this.marked = point;
		const [x, y] = this.place(i);
		const rect = this.canvas.getBoundingClientRect();
		const lines = describe(point);
		this.marker.hidden = !this.isInGrid(x, y, this.gridRect());
		const [width, height] = hit === "cell" ? this.cellSize(point) : [14, 14];
		Object.assign(this.marker.style, {
			left: `${x - width / 2}px`, top: `${y - height / 2}px`, width: `${width}px`, height: `${height}px`,
			borderRadius: hit === "cell" ? "2px" : "50%",
		});
		showTooltip(rect.left + Math.min(Math.max(x, 0), rect.width), rect.top + Math.min(Math.max(y, 0), rect.height), point.label, lines);
		this.canvas.classList.toggle("opens", point.arch >= 0);
		return [point.label, ...lines.map(([name, text]) => `${name} ${text}`)].join(", ");
	}

	/** Returns the size of a heat map's cell. */
	cellSize(point) {
		const here = this.chart.convertToPixel({ seriesIndex: 0 }, [0, 0]);
		const next = this.chart.convertToPixel({ seriesIndex: 0 }, [1, 1]);
		const rect = this.gridRect();
		return [0, 1].map(k => {
			const size = Math.abs(next[k] - here[k]);
			return Number.isFinite(size) && size > 0 ? size : [rect.width, rect.height][k];
		});
	}

	leave() {
		if (this.current >= 0) tooltip.hidden = true; // it is this plot's
		this.current = -1;
		this.marked = null;
		this.marker.hidden = true;
		this.canvas.classList.remove("opens");
	}

	/** Returns the points of each series, in order of x. */
	order() {
		if (!this.orders) {
			const { points } = this.computed();
			this.orders = new Map();
			points.forEach((p, i) => {
				if (!this.orders.has(p.series)) this.orders.set(p.series, []);
				this.orders.get(p.series).push(i);
			});
			for (const list of this.orders.values()) list.sort((a, b) => points[a].x - points[b].x || points[a].y - points[b].y);
		}
		return this.orders;
	}

	key(event) {
		if (!this.drawn || event.ctrlKey || event.altKey || event.metaKey) return;
		const { points } = this.computed();
		if (event.key === "Escape") {
			this.leave();
			announce("");
			return;
		}
		if (event.key === "Enter" && this.current >= 0) {
			this.open(points[this.current]);
			event.preventDefault();
			return;
		}
		const next = this.neighbour(event.key);
		if (next < 0) return;
		event.preventDefault();
		announce(this.mark(next));
	}

	/** Returns the point that a key leads to from the current one, or -1. */
	neighbour(key) {
		const { points } = this.computed();
		const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -0.05, PageDown: 0.05, Home: -Infinity, End: Infinity };
		if (points.length === 0 || !(key in steps || key === "ArrowUp" || key === "ArrowDown")) return -1;
		const series = [...this.order().keys()].sort((a, b) => a - b);
		if (this.current < 0) return this.order().get(series[0]).at(key === "End" ? -1 : 0);
		const now = points[this.current];
		if (key in steps) {
			const list = this.order().get(now.series);
			const step = Math.abs(steps[key]) < 1 ? Math.sign(steps[key]) * Math.ceil(Math.abs(steps[key]) * list.length) : steps[key];
			return list[Math.min(Math.max(list.indexOf(this.current) + step, 0), list.length - 1)];
		}
		const at = series.indexOf(now.series) + (key === "ArrowUp" ? -1 : 1);
		if (at < 0 || at >= series.length) return this.current;
		const far = i => Math.abs(points[i].x - now.x);
		return this.order().get(series[at]).reduce((best, i) => (far(i) < far(best) ? i : best));
	}

	toggleTable() {
		const shows = this.table.hidden;
		this.table.hidden = !shows;
		this.tableButton.setAttribute("aria-expanded", String(shows));
		this.tableButton.textContent = shows ? "Hide the table" : "Show as a table";
		if (shows) this.fillTable();
		else this.table.replaceChildren();
	}

	fillTable() {
		const { empty, columns, rows } = this.computed();
		if (!empty) putTable(this.table, { caption: this.title, columns, rows });
	}

	save() {
		download(`${this.name}.csv`, "text/csv;charset=utf-8", csvText(this.computed()));
	}
}

/** Adds a plot to the page; see the constructor of Plot. Returns it. */
function addPlot(spec) {
	const plot = new Plot(spec);
	plots[spec.name] = {
		points: () => plot.computed().points ?? [],
		/** Returns the place of point i in the window, [x, y] in pixels; draws the plot if need be. */
		pixel: i => {
			if (!plot.drawn) plot.draw();
			const [x, y] = plot.place(i);
			const { left, top } = plot.canvas.getBoundingClientRect();
			return [left + x, top + y];
		},
		csv: () => csvText(plot.computed()),
	};
	allPlots.push(plot);
	return plot;
}

const allPlots = [];
let colours = readTheme();

/** Draws all plots again after a change of the theme. */
function changeTheme() {
	colours = readTheme();
	allPlots.forEach(plot => plot.redraw());
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
prefersDark.addEventListener("change", changeTheme);

// A printed page shows all plots, in the light theme, drawn for its width.
addEventListener("beforeprint", () => {
	document.documentElement.classList.add("printing");
	colours = readTheme();
	allPlots.forEach(plot => plot.draw());
	// Canvases are painted in later frames, which printing does not wait for; pictures are complete.
	for (const { chart, canvas } of allPlots) {
		if (chart) canvas.append(h("img", { alt: "", src: chart.getDataURL({ pixelRatio: 2 }) }));
	}
});
addEventListener("afterprint", () => {
	document.documentElement.classList.remove("printing");
	document.querySelectorAll(".canvas > img").forEach(img => img.remove());
	changeTheme();
});
