'use strict';
(() => {
	const dark = matchMedia('(prefers-color-scheme: dark)');
	const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
	// Told apart by most kinds of colour vision, on light and on dark (Okabe and Ito).
	const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8f7bd8', '#7a8a3c'];
	const colour = i => colours[i % colours.length];
	const dash = i => i < colours.length ? [] : [6, 3];
	let drawn = [];

	const axis = (label, more) => ({ label, stroke: css('--fg'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line') }, ...more });
	const seconds = { label: 'second', value: (u, v) => v == null ? '' : v.toFixed(0) + ' s' };
	const count = (u, v, series, at) => at == null ? '–' : v ?? 0;
	const ms = (u, v) => v == null ? '–' : v.toPrecision(3) + ' ms';

	// The events, behind the lines.
	const bands = {
		hooks: {
			drawClear: u => {
				const { ctx, bbox } = u;
				ctx.save();
				for (const event of bench.events) {
					const from = u.valToPos(event.from, 'x', true), until = u.valToPos(event.until, 'x', true);
					ctx.fillStyle = css('--band-' + event.class);
					ctx.fillRect(from, bbox.top, Math.max(until - from, 2), bbox.height);
				}
				ctx.restore();
			},
		},
	};

	const draw = (id, height, make) => {
		const box = document.getElementById(id);
		box.textContent = '';
		const width = Math.max(box.clientWidth - 16, 200);
		const { options, data } = make();
		drawn.push(new uPlot({ width, height, ...options }, data, box));
	};

	// Lanes have points at the same times, but for those that ended early.
	const times = () => {
		const all = new Set(bench.lanes.flatMap(l => l.at || []));
		return [...all].sort((a, b) => a - b);
	};
	const along = (at, lane, values) => {
		const by = new Map((lane.at || []).map((t, i) => [t, values[i]]));
		return at.map(t => by.has(t) ? by.get(t) : null);
	};

	const latency = () => {
		const at = times();
		return {
			options: {
				scales: { x: { time: false, range: [0, Math.max(bench.duration, 1)] }, y: { distr: 3 } },
				axes: [axis('seconds'), axis('p99, ms', { size: 60 })],
				series: [seconds, ...bench.lanes.map((l, i) => ({ label: l.name, stroke: colour(i), dash: dash(i), width: 1.5, value: ms, points: { show: at.length < 2 } }))],
				plugins: [bands],
			},
			data: [at, ...bench.lanes.map(l => along(at, l, l.p99 || []))],
		};
	};

	// Lanes stand on top of each other; those that reach highest are drawn first.
	const losses = () => {
		const at = times();
		const lost = bench.lanes.map(l => along(at, l, l.lost || []));
		const sums = lost.map((_, i) => at.map((_, k) => lost.slice(0, i + 1).reduce((sum, of) => sum + (of[k] || 0), 0) || null));
		const most = Math.max(1, ...sums.flat());
		const order = bench.lanes.map((_, i) => i).reverse();
		return {
			options: {
				scales: { x: { time: false, range: [0, Math.max(bench.duration, 1)] }, y: { range: [0, most * 1.1] } },
				axes: [axis('seconds'), axis('lost', { size: 60 })],
				series: [seconds, ...order.map(i => ({ label: bench.lanes[i].name, stroke: colour(i), dash: dash(i), width: 1, paths: uPlot.paths.bars({ size: [1, Infinity], align: 1 }), fill: colour(i), points: { show: false }, value: (u, v, series, k) => k == null ? '–' : String(lost[i][k] || 0) }))],
				plugins: [bands],
			},
			data: [at, ...order.map(i => sums[i])],
		};
	};

	const histogram = lane => () => {
		const steady = lane.counts.before.map((n, i) => n + lane.counts.after[i]);
		const during = lane.counts.during;
		const used = lane.bounds.map((_, i) => i).filter(i => steady[i] + during[i] > 0);
		const from = Math.max((used[0] ?? 0) - 1, 0), to = Math.min((used.at(-1) ?? 0) + 2, lane.bounds.length);
		const share = counts => {
			const all = counts.reduce((a, b) => a + b, 0);
			return counts.slice(from, to).map(n => all ? 100 * n / all : null);
		};
		const bars = (label, i) => ({ label, stroke: colour(i), fill: colour(i) + '55', width: 1.5, paths: uPlot.paths.stepped({ align: -1 }), points: { show: false }, value: (u, v) => v == null ? '–' : v.toFixed(2) + ' %' });
		return {
			options: {
				scales: { x: { time: false, distr: 3, log: 10 }, y: { range: (u, min, max) => [0, Math.max(max, 1) * 1.05] } },
				axes: [axis('ms'), axis('% of requests', { size: 50 })],
				series: [{ label: 'up to', value: ms }, bars('otherwise', 0), bars('during events', 1)],
			},
			data: [lane.bounds.slice(from, to), share(steady), share(during)],
		};
	};

	const all = () => {
		drawn.forEach(u => u.destroy());
		drawn = [];
		draw('latency', 320, latency);
		draw('losses', 180, losses);
		bench.lanes.forEach(l => draw('lane-' + l.index, 200, histogram(l)));
	};
	all();
	dark.addEventListener('change', all);
	let wait;
	addEventListener('resize', () => { clearTimeout(wait); wait = setTimeout(all, 150); });
})();
