// What is known of the film, from report.json: badges beside the title and one table row a rendition.

/** Fetches the report; a film without one still plays, so any failure gives nothing. */
export async function fetchReport(url) {
  try {
    const response = await fetch(url);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** Returns the short facts that stand beside the title. */
export function badges({ scheme, isolation, source }) {
  const facts = [scheme === 'clear' ? 'not encrypted' : `encrypted, ${scheme}`];
  if (isolation) facts.push(`isolation ${isolation.level}`);
  if (source) facts.push(clock(source.duration_s));
  return facts;
}

/** Returns the cells of a rendition's row, in the order of the table's head. */
export function cells(variant) {
  const { name, kind, codec, width_px, height_px, channels, sample_rate_hz, average_bps, bytes, frames } = variant;
  const shape = kind === 'video'
    ? `${width_px} × ${height_px}`
    : `${channels} channel${channels === 1 ? '' : 's'}, ${sample_rate_hz / 1000} kHz`;
  return [name, shape, codec, bitrate(average_bps), size(bytes), frames.toLocaleString('en')];
}

function bitrate(bps) {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

function size(bytes) {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`;
}

function clock(seconds) {
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
