// Makes elements, texts of numbers, tables and CSV. Text from the data becomes text nodes only.

/**
 * Makes an element. Attributes that are functions become event listeners (`onclick`), true becomes
 * an empty attribute, and false, null and undefined none. Children are elements, texts or null.
 */
function h(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
		else if (value === true) element.setAttribute(name, "");
		else if (value !== false && value != null) element.setAttribute(name, value);
	}
	element.append(...children.flat().filter(child => child != null));
	return element;
}

/** Makes an element of SVG, whose attributes are texts. */
function svg(tag, attributes = {}, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

const byId = id => document.getElementById(id);

/**
 * Makes a node equal to a new one and changes only what differs, so that the focus, the selection and
 * the place to which it is scrolled stay. Listeners of the old node stay too: they must not depend on
 * what the new one shows, but read it from attributes.
 */
function patch(old, fresh) {
	if (old.nodeName !== fresh.nodeName) {
		old.replaceWith(fresh);
		return;
	}
	if (!(old instanceof Element)) {
		if (old.data !== fresh.data) old.data = fresh.data;
		return;
	}
	for (const { name } of [...old.attributes]) {
		if (!fresh.hasAttribute(name)) old.removeAttribute(name);
	}
	for (const { name, value } of fresh.attributes) {
		if (old.getAttribute(name) !== value) old.setAttribute(name, value);
	}
	patchChildren(old, ...fresh.childNodes);
}

/** Makes the children of an element equal to new ones; see patch. Those with a data-key stay the same nodes wherever they move. */
function patchChildren(parent, ...fresh) {
	const keyOf = node => node.dataset?.key;
	const nodes = fresh.flat().filter(child => child != null).map(child => (child instanceof Node ? child : document.createTextNode(child)));
	const keys = new Set(nodes.map(keyOf));
	const keyed = new Map();
	for (const child of [...parent.childNodes]) {
		const key = keyOf(child);
		if (key === undefined) continue;
		if (keys.has(key)) keyed.set(key, child);
		else child.remove();
	}
	let at = parent.firstChild;
	for (const child of nodes) {
		const key = keyOf(child);
		const same = key !== undefined ? keyed.get(key) : at && keyOf(at) === undefined ? at : undefined;
		keyed.delete(key);
		if (!same) {
			parent.insertBefore(child, at);
			continue;
		}
		if (same === at) at = at.nextSibling;
		else parent.insertBefore(same, at);
		patch(same, child);
	}
	while (at) {
		const next = at.nextSibling;
		at.remove();
		at = next;
	}
}

/** Sets the text of an element. If it is the same, a screen reader does not read it again. */
function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/** Makes a button that opens an architecture, by its index. */
const archButton = (index, text = String(index)) =>
	h("button", { type: "button", class: "link", "data-arch": String(index), onclick: openNamed }, text);

/** Opens the architecture that the clicked element names. */
const openNamed = event => openArchitecture(data.position(Number(event.currentTarget.dataset.arch)));

/** Makes a select from [value, text] pairs, in a label. `onchange` receives the value. */
function labelledSelect(label, options, value, onchange, attributes = {}) {
	const select = h("select", { ...attributes, onchange: () => onchange(select.value) });
	setOptions(select, options, value);
	return h("label", { class: "control" }, h("span", {}, label), select);
}

function setOptions(select, options, value) {
	patchChildren(select, ...options.map(([v, text]) => h("option", { value: v }, text)));
	select.value = value;
}

/** Makes a checkbox in a label. `onchange` receives whether it is checked. */
function labelledCheckbox(label, checked, onchange) {
	const input = h("input", { type: "checkbox", checked, onchange: () => onchange(input.checked) });
	return h("label", { class: "control check" }, input, h("span", {}, label));
}

const missingText = "–";

/** Returns a formatter of numbers with this many decimals. */
const fixed = decimals => v => (v == null || Number.isNaN(v) ? missingText : v.toFixed(decimals));

/** Formats a percentage. */
const percent = v => `${fixed(2)(v)} %`;

/** Returns a formatter of numbers with this many decimals, or more for numbers below 1: they get three significant digits. */
const atLeast = decimals => v => (Math.abs(v) < 1 && v !== 0 ? short(v) : fixed(decimals)(v));

const thousands = new Intl.NumberFormat("en");
/** Formats a whole number, or a number that need not be exact, with separators. */
const count = v => (v == null || Number.isNaN(v) ? missingText : thousands.format(v));

/** Formats a number of any size with three or more significant digits. */
function short(v) {
	if (v == null || Number.isNaN(v)) return missingText;
	const size = Math.abs(v);
	if (size >= 1000) return thousands.format(Math.round(v));
	if (size >= 100 || v === 0) return v.toFixed(0);
	return size >= 0.001 ? String(Number(v.toPrecision(3))) : v.toExponential(2);
}

/** Formats a duration, given in seconds. */
function duration(v) {
	if (v == null || Number.isNaN(v)) return missingText;
	if (v < 120) return `${short(v)} s`;
	return v < 7200 ? `${short(v / 60)} min` : `${short(v / 3600)} h`;
}

const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Reads a sentence to users of screen readers. */
function announce(text) {
	byId("announcer").textContent = text;
}

const pageRows = 100;

/** What putTable needs to know of tables. */
const madeTables = new WeakMap();

/**
 * Makes a table of 100 rows a page.
 * @param {{caption?: string, columns: {name: string, format?: function, arch?: boolean, text?: boolean, code?: boolean}[],
 *   rows: Array[] | function, key?: function}} table `arch` marks a column of indices of architectures, which
 *   become buttons that open them, `code` one of strings of architectures; `text` aligns a column to the left, as
 *   those of text are. A row stays the same row
 *   where its `key`, of the row and its number, is the same.
 */
function makeTable(table) {
	let { rows: all, columns, key } = table;
	const body = h("tbody");
	const head = h("tr");
	const cell = (c, v) => {
		if (v instanceof Node) return v;
		if (c.arch && data.position(v) >= 0) return archButton(v);
		if (c.code) return h("code", {}, v);
		if (c.format && typeof v !== "string") return c.format(v);
		return v == null || Number.isNaN(v) ? missingText : String(v);
	};
	const where = h("span", { role: "status" });
	let first = 0;
	const show = at => {
		first = Math.max(0, Math.min(at, Math.floor((all.length - 1) / pageRows) * pageRows));
		const page = all.slice(first, first + pageRows);
		const left = columns.map((c, k) => c.text || all.some(row => typeof row[k] === "string"));
		const side = k => (left[k] ? "text" : null);
		patchChildren(head, ...columns.map((c, k) => h("th", { scope: "col", class: side(k) }, c.name)));
		patchChildren(body, ...page.map((row, k) =>
			h("tr", { "data-key": key?.(row, first + k) }, columns.map((c, k) => h("td", { class: side(k) }, cell(c, row[k]))))));
		setText(where, `Rows ${count(first + 1)} to ${count(first + page.length)} of ${count(all.length)}`);
		previous.disabled = first === 0;
		next.disabled = first + pageRows >= all.length;
		pager.hidden = all.length <= pageRows;
	};
	const fill = ({ rows, ...other }) => {
		all = typeof rows === "function" ? rows() : rows;
		({ columns, key } = other);
		show(first);
	};
	const previous = h("button", { type: "button", onclick: () => show(first - pageRows) }, "Previous");
	const next = h("button", { type: "button", onclick: () => show(first + pageRows) }, "Next");
	const pager = h("div", { class: "pager" }, previous, next, where);
	fill(table);
	const made = h("div", { class: "table" },
		h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": table.caption ?? "Table" }, h("table", {},
			table.caption && h("caption", {}, table.caption), h("thead", {}, head), body)),
		pager);
	madeTables.set(made, { fill, names: columns.map(c => c.name).join("\n") });
	return made;
}

/** Makes a table in an element or, if the element has one with the same columns, changes its rows. Its page and the focus stay. */
function putTable(place, table) {
	const old = madeTables.get(place.firstElementChild);
	if (old?.names === table.columns.map(c => c.name).join("\n")) old.fill(table);
	else place.replaceChildren(makeTable(table));
}

/**
 * Returns a cell of a CSV record. Text that a spreadsheet would take for a formula gets a leading
 * apostrophe, as in results/tables/csv.go.
 */
function csvCell(v) {
	if (v == null || Number.isNaN(v)) return "";
	if (typeof v === "number") return String(v);
	const text = /^'*[=+\-@\t\r]/.test(v) ? `'${v}` : v;
	return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Returns CSV as of RFC 4180, with a header. */
function csvText({ columns, rows }) {
	const all = typeof rows === "function" ? rows() : rows;
	return [columns.map(c => c.name), ...all].map(row => row.map(csvCell).join(",") + "\r\n").join("");
}

function download(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	h("a", { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
