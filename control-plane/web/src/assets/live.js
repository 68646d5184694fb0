// What happens to the user's contents, as it happens: the WebSocket /api/v1/events, opened again where it breaks, from the
// cursor that was seen last.

import { refreshed, session } from '/assets/account.js';

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15_000;

/** Calls `on.message(message)` for each message and `on.state(connected)` for each change. Returns a function that stops it. */
export function listen(on) {
  let socket = null;
  let stopped = false;
  let cursor = null;
  let delay_ms = RETRY_FIRST_MS;
  let timer = 0;

  const open = () => {
    const token = session()?.access_token;
    if (stopped || !token) return;
    const url = new URL('/api/v1/events', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    if (cursor !== null) url.searchParams.set('after', cursor);
    // Browsers cannot set headers on a WebSocket: the token travels as a subprotocol.
    socket = new WebSocket(url, ['bearer', token]);
    socket.addEventListener('open', () => { delay_ms = RETRY_FIRST_MS; on.state(true); });
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data);
      if (message.cursor !== undefined && message.cursor !== null) cursor = message.cursor;
      on.message(message);
    });
    socket.addEventListener('close', () => again(token));
  };

  const again = async (token) => {
    on.state(false);
    if (stopped) return;
    timer = setTimeout(async () => {
      // Whatever closed it: an old token would close it again.
      await refreshed(token).catch(() => null);
      open();
    }, delay_ms);
    delay_ms = Math.min(delay_ms * 2, RETRY_MAX_MS);
  };

  open();
  return () => {
    stopped = true;
    clearTimeout(timer);
    socket?.close();
  };
}
