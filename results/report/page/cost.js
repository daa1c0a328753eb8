// Draws accuracy against cost, with the Pareto front.

/**
 * Returns the Pareto front: positions of the architectures that none beats in accuracy at the same or
 * a lower cost, in order of cost.
 */
function paretoFront(positions, cost, accuracy) {
	const sorted = positions.toSorted((a, b) => cost[a] - cost[b] || accuracy[b] - accuracy[a]);
	let best = -Infinity;
	return sorted.filter(i => accuracy[i] > best && ((best = accuracy[i]), true));
}

function showCost() {
	let chosen = costs[0];
	let range = "main";

	const control = labelledSelect("Cost", [], "", key => {
		chosen = costs.find(cost => cost.key === key);
		plot.invalidate();
	});
	const select = control.querySelector("select");
	const ranges = labelledSelect("Accuracies", [["main", "without outliers"], ["all", "all"], ["best", "the best tenth"]], range, value => {
		range = value;
		plot.invalidate();
	});
	const front = h("div");
	const frontTable = h("div", { id: "front" }, h("h3", {}, "Pareto front"), front);
	const plot = addPlot({
		name: "cost", section: "cost", title: "Mean accuracy by cost", controls: [control, ranges],
		about: "A point is an architecture: its mean top-1 accuracy over its trials after the last epoch, in percent, and what it costs. " +
			"The line with diamonds is the Pareto front: no other architecture is more accurate at the same or a lower cost.",
		compute,
	});
	byId("cost").append(frontTable);

	/** Returns the costs that are known in the group, with their columns' values. */
	function knownCosts(group) {
		return costs.filter(cost => group[cost.key] && data.values(group[cost.key]).some(v => v > 0));
	}

	function compute() {
		const group = shownGroup(), set = shownSet();
		const known = group ? knownCosts(group) : [];
		frontTable.hidden = true;
		if (!set || known.length === 0) return { empty: "The benchmark has no accuracy or no cost on this dataset." };
		if (!known.includes(chosen)) chosen = known[0];
		setOptions(select, known.map(cost => [cost.key, cost.name]), chosen.key);

		const cost = data.values(group[chosen.key]).map(v => v * (chosen.factor ?? 1));
		const accuracy = data.values(set.mean);
		const positions = state.shown.filter(i => cost[i] > 0 && !Number.isNaN(accuracy[i]));
		if (positions.length === 0) return { empty: "No architecture that is shown has trials on this dataset." };
		const best = Array.from(paretoFront(positions, cost, accuracy));
		const inFront = new Set(best);
		showFront(best, cost, accuracy);

		const accuracies = Float64Array.from(positions, i => accuracy[i]).sort();
		const least = { main: mainRange(accuracies).least, all: accuracies[0], best: quantile(accuracies, 0.9) }[range];
		const { min, max, interval } = withRoom(least, accuracies.at(-1));
		const others = Array.from(positions.filter(i => accuracy[i] >= least && !inFront.has(i)));
		const front = best.filter(i => accuracy[i] >= least);
		const below = positions.length - others.length - front.length;
		const point = series => i => ({ label: `Architecture ${data.index[i]}`, arch: i, x: cost[i], y: accuracy[i], series });
		const many = others.length > 2000;
		const left = below > 0 ? ` Not in view: ${plural(below, "architecture")} below ${fixed(2)(least)} %.` : "";
		const yName = `${set.name}: mean accuracy, %`;
		return {
			summary: `${plural(positions.length, "architecture")}, ${best.length} of them in the Pareto front, on ${groupName(group)}, ${set.name}.${left}`,
			columns: [
				{ name: "architecture", arch: true }, { name: chosen.name, format: chosen.format },
				{ name: yName, format: fixed(2) }, { name: "in the Pareto front" }, { name: content.space.words.text, code: true },
			],
			rows: () => Array.from(positions, i => [data.index[i], cost[i], accuracy[i], inFront.has(i) ? "yes" : "no", data.text(i)]),
			points: [...others.map(point(0)), ...front.map(point(1))],
			first: [0, others.length, -1],
			describe: p => [
				[chosen.name, chosen.format(p.x)], ["mean accuracy", `${p.y.toFixed(2)} %`],
				...(p.series === 1 ? [["Pareto front", "yes"]] : []),
				...data.choices(p.arch).map((option, at) => [content.space.places[at].name, content.space.options[option]]),
			],
			option: theme => ({
				grid: { left: 8, right: 18, top: 34, bottom: 8 },
				legend: legend(theme, { data: ["architectures", "Pareto front"] }),
				xAxis: axis(theme, { type: "value", name: chosen.name, scale: true }),
				yAxis: axis(theme, { type: "value", name: yName, min, max, interval, nameGap: 40 }),
				series: [
					{
						name: "architectures", type: "scatter", silent: true, large: many, largeThreshold: 0, clip: true,
						symbol: "circle", symbolSize: many ? 3 : 7, data: others.map(i => [cost[i], accuracy[i]]),
						itemStyle: { color: theme.series[0], opacity: many ? 0.4 : 0.85 },
					},
					{
						name: "Pareto front", type: "scatter", silent: true, clip: true, z: 4, symbol: "diamond", symbolSize: 11,
						itemStyle: { color: theme.series[1], borderColor: theme.paper, borderWidth: 1, opacity: 1 },
						data: front.map(i => [cost[i], accuracy[i]]),
					},
					{
						type: "line", silent: true, clip: true, z: 3, symbol: "none", lineStyle: { color: theme.series[1], width: 1.5 },
						data: front.flatMap((i, k) => [...(k > 0 ? [[cost[i], accuracy[front[k - 1]]]] : []), [cost[i], accuracy[i]]]),
					},
				],
			}),
		};
	}

	function showFront(best, cost, accuracy) {
		frontTable.hidden = false;
		putTable(front, {
			columns: [
				{ name: "architecture", arch: true }, { name: chosen.name, format: chosen.format },
				{ name: "mean accuracy, %", format: fixed(2) }, { name: content.space.words.text, code: true },
			],
			rows: best.map(i => [data.index[i], cost[i], accuracy[i], data.text(i)]),
			key: row => row[0],
		});
	}
}
