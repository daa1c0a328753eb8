// The campaign's health: progress, failures, how trials were made, and their times.

/** Adds the tables and the histogram of times. */
function addHealth(section) {
	const { health, progress } = content;
	const recorded = health.tables.length > 0;
	if (!recorded && !progress) {
		section.append(h("p", {}, `The format ${content.source.format} does not record how trials were made.`));
	}
	if (progress) section.append(progressTable(progress.groups), ...failureTables(progress));
	addHours(section);
	if (health.first) section.append(h("p", {}, `The first trial started at ${when(health.first)}, the last one finished at ${when(health.last)}.`));
	section.append(h("div", { class: "tallies" }, health.tables.map(tallyTable)), ...damageLists(health.damaged, progress?.problems ?? []));
}

/** Formats a time of the JSON in UTC, to the minute. */
const when = time => `${time.slice(0, 16).replace("T", " ")} UTC`;
