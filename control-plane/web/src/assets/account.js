// Who the page speaks as. Tokens are kept in this browser; a refresh token works once, so that tabs take turns.

const KEEP = 'mcsp.session';

/** Returns the kept session, { access_token, refresh_token, email }, or null. */
export function session() {
  try {
    return JSON.parse(localStorage.getItem(KEEP));
  } catch {
    return null;
  }
}

/** Keeps a session; null signs out. */
export function keep(value) {
  if (value) localStorage.setItem(KEEP, JSON.stringify(value));
  else localStorage.removeItem(KEEP);
}

/** Trades the refresh token for a new pair, unless another tab did since `stale`. Returns the session, null when it is over. */
export async function refreshed(stale) {
  const trade = async () => {
    const now = session();
    if (!now || now.access_token !== stale) return now;
    const response = await fetch('/api/v1/auth/refresh', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ refresh_token: now.refresh_token }),
    });
    if (response.status === 401 || response.status === 403) {
      keep(null);
      return null;
    }
    if (!response.ok) throw new Error(`the session could not be renewed: the platform answered ${response.status}`);
    const { access_token, refresh_token } = await response.json();
    keep({ ...now, access_token, refresh_token });
    return session();
  };
  // Locks exist on secure addresses alone; elsewhere tabs may have to sign in again.
  return navigator.locks ? navigator.locks.request(KEEP, trade) : trade();
}
