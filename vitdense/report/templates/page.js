'use strict';
Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Object.assign(Chart.defaults.plugins.legend.labels, { usePointStyle: true, boxHeight: 7, filter: (item) => item.text });
Chart.defaults.interaction = { mode: 'nearest', intersect: false };
Chart.defaults.plugins.tooltip.callbacks.label = (item) => {
  const note = (item.dataset.notes || [])[item.dataIndex];
  if (note) return note;
  const value = item.chart.options.indexAxis === 'y' ? item.parsed.x : item.parsed.y;
  const shown = Math.abs(value) >= 1e-3 || value === 0 ? +value.toPrecision(4) : value.toExponential(2);
  return (item.dataset.label ? item.dataset.label + ': ' : '') + shown;
};
for (const canvas of document.querySelectorAll('canvas[data-chart]')) {
  const config = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
  canvas.chart = new Chart(canvas, config);
}
const late = document.getElementById('late');
if (late && Date.now() / 1000 > Number(late.dataset.due)) late.hidden = false;
if (location.hash === '' && window.matchMedia('print').matches) document.querySelectorAll('details').forEach((one) => (one.open = true));
