import type { FailurePrediction, FleetCharger, MLAnswer, MLHealth, Page } from '../src';

interface Shown {
  health: MLHealth;
  fleet: MLAnswer<Page<FleetCharger>>;
  scored?: MLAnswer<FailurePrediction>;
}

/** The screen as HTML. */
export function fleetPage({ health, fleet, scored }: Shown): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Fleet by risk</title>
<style>${STYLE}</style>
<header>
  <h1>Fleet by risk</h1>
  <p class="health ${health.status}">ML service ${health.status} · circuit ${health.circuit}</p>
</header>
<main>
  <section>${scored ? scoredCard(scored) : ''}${FORM}</section>
  <section>${fleetTable(fleet)}</section>
</main>
</html>`;
}

function scoredCard(answer: MLAnswer<FailurePrediction>): string {
  if (answer.status === 'rejected') {
    return `<div class="card refused"><h2>Not scored</h2><p>${escaped(answer.problem.detail)}</p></div>`;
  }
  const note = answer.stale
    ? '<p class="stale">The service cannot be reached: this is the last answer.</p>'
    : '';
  if (answer.status === 'unavailable' && !answer.stale) {
    return `<div class="card refused"><h2>No answer</h2><p>${escaped(answer.message)}</p></div>`;
  }
  const { charger_id, failure_probability, recommended_action, recommended_actions } = answer.data;
  const factors = answer.data.top_contributing_factors.slice(0, 3).map(({ text }) => escaped(text));
  return `<div class="card"><h2>${escaped(charger_id)}</h2>${note}
  <p><b class="${recommended_action}">${percent(failure_probability)}</b> within 30 days · ${words(recommended_action)}</p>
  <ol>${recommended_actions.map((step) => `<li>${escaped(step)}</li>`).join('')}</ol>
  <p class="why">Because of ${factors.join(', ')}</p></div>`;
}

function fleetTable(fleet: Shown['fleet']): string {
  if (fleet.status !== 'ok') {
    const why = fleet.status === 'rejected' ? fleet.problem.detail : fleet.message;
    return `<p class="card refused">The fleet cannot be shown now: ${escaped(why)}</p>`;
  }
  const rows = fleet.data.items.map(
    (each) => `<tr><td>${escaped(each.charger_id)}</td>
      <td class="number ${each.recommended_action}">${percent(each.failure_probability)}</td>
      <td class="number">${percent(each.horizons?.['7d'])}</td>
      <td>${each.in_failure ? 'in failure' : words(each.recommended_action)}</td>
      <td>${escaped((each.reading_timestamp ?? '–').slice(0, 16).replace('T', ' '))}</td></tr>`,
  );
  const none = '<tr><td colspan="5">Nothing has been scored yet.</td></tr>';
  return `<table><thead><tr><th>Charger</th><th class="number">30 days</th><th class="number">7 days</th>
    <th>Action</th><th>Reading (UTC)</th></tr></thead><tbody>${rows.join('') || none}</tbody></table>`;
}

const percent = (probability?: number | null): string =>
  probability == null ? '–' : `${(100 * probability).toFixed(1)} %`;
const words = (action: string | null): string => (action ?? 'no reading').toLowerCase().replaceAll('_', ' ');

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');

const STATUSES = ['AVAILABLE', 'CHARGING', 'OCCUPIED', 'UNAVAILABLE', 'OFFLINE', 'FAULTY', 'FULLY_CHARGED'];
const FORM = `<form class="card" method="post" action="/score">
  <h2>Score a charger</h2>
  <label>Charger <input name="charger_id" required maxlength="128" value="EVZ-0042"></label>
  <label>Status <select name="connector_status">
    ${STATUSES.map((status) => `<option${status === 'CHARGING' ? ' selected' : ''}>${status}</option>`).join('')}
  </select></label>
  <label>Temperature, °C <input name="temperature" inputmode="decimal"></label>
  <label>Power, kW <input name="power" inputmode="decimal"></label>
  <label>Error codes <input name="error_codes" placeholder="HighTemperature"></label>
  <button>Score</button>
</form>`;

const STYLE = `
  body { font: 15px/1.5 system-ui, sans-serif; margin: 0; background: #f5f6f8; color: #1d2433; }
  header { display: flex; align-items: baseline; gap: 1.5rem; padding: 1rem 2rem; background: #fff;
    border-bottom: 1px solid #dde1e8; }
  h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 .5rem; }
  main { display: grid; grid-template-columns: minmax(16rem, 22rem) 1fr; gap: 1.5rem; padding: 1.5rem 2rem; }
  @media (max-width: 50rem) { main { grid-template-columns: 1fr; } }
  .card { background: #fff; border: 1px solid #dde1e8; border-radius: 8px; padding: 1rem; margin: 0 0 1.5rem; }
  .refused { border-color: #c4412b; } .stale { color: #96570a; } .why { color: #5b6577; margin-bottom: 0; }
  .health { margin: 0; color: #1c7a43; } .health.degraded { color: #96570a; }
  .health.unavailable, .health.disabled { color: #c4412b; }
  label { display: block; margin-bottom: .6rem; }
  input, select { display: block; width: 100%; box-sizing: border-box; padding: .4rem; font: inherit;
    border: 1px solid #b9c0cc; border-radius: 4px; background: #fff; }
  button { font: inherit; padding: .45rem 1.2rem; border: 0; border-radius: 4px; background: #1f5fbf; color: #fff; }
  table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid #dde1e8; }
  th, td { text-align: left; padding: .45rem .8rem; border-bottom: 1px solid #edeff3; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  .IMMEDIATE { color: #c4412b; font-weight: 600; } .WITHIN_7_DAYS { color: #96570a; font-weight: 600; }
  ol { padding-left: 1.2rem; }`;
