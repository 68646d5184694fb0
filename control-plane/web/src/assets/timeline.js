// One content's way, step by step: each with how far, how long, which attempt, and why where it ended badly.

const STEPS = ['upload', 'ingest', 'copyright', 'moderate', 'plan', 'transcode', 'package', 'thumbnails', 'index', 'publish'];
const WORDS = {
  upload: 'Upload', ingest: 'Check', copyright: 'Rights', moderate: 'Moderation', plan: 'Plan', transcode: 'Transcode',
  package: 'Encrypt and package', thumbnails: 'Thumbnails', index: 'Index', publish: 'Publish',
};
const STATES = { running: 'running', done: 'done', failed: 'failed', skipped: 'not needed' };

/** Returns the steps in their order, as list items. */
export function stepItems(steps) {
  const known = new Map(steps.map((step) => [step.name, step]));
  return STEPS.filter((name) => known.has(name)).map((name) => item(known.get(name)));
}

function item(step) {
  const li = document.createElement('li');
  li.dataset.state = step.state;
  const name = text('strong', WORDS[step.name] ?? step.name);
  const facts = [STATES[step.state] ?? step.state];
  if (step.started_us && step.ended_us) facts.push(duration((step.ended_us - step.started_us) / 1e6));
  if (step.attempt > 1) facts.push(`attempt ${step.attempt}`);
  li.append(name, text('span', facts.join(' · ')));
  if (step.reason) li.append(text('p', step.reason));
  return li;
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Returns one row a rendition. `retry(name)` is called by the button of one that failed. */
export function renditionRows(renditions, retry) {
  return renditions.map((rendition) => {
    const tr = document.createElement('tr');
    const head = text('th', rendition.name);
    head.scope = 'row';
    tr.append(head, text('td', rendition.kind ?? ''), text('td', rendition.state.toLowerCase()), text('td', rendition.reason ?? ''));
    const last = document.createElement('td');
    if (rendition.state === 'FAILED') {
      const button = text('button', 'Try again');
      button.type = 'button';
      button.addEventListener('click', () => retry(rendition.name));
      last.append(button);
    }
    tr.append(last);
    return tr;
  });
}

function text(name, content) {
  return Object.assign(document.createElement(name), { textContent: content });
}
