// Calls of the REST interface. In: a method, a path under /api/v1, a body. Out: the answer's JSON, or a Refusal.

import { refreshed, session } from '/assets/account.js';

/** What the platform refused, by RFC 9457. */
export class Refusal extends Error {
  constructor(status, problem) {
    super([problem.title, problem.detail].filter(Boolean).join(': ') || `the platform answered ${status}`);
    this.status = status;
    this.type = problem.type ?? 'about:blank';
  }
}

/** Calls the platform, signed in where there is a session. `headers` are further headers. */
export async function call(method, path, body, headers = {}) {
  const idempotency = method === 'POST' ? { 'idempotency-key': crypto.randomUUID() } : {};
  const send = (token) => fetch(`/api/v1/${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...idempotency,
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const token = session()?.access_token;
  let response = await send(token);
  if (response.status === 401 && token) {
    const renewed = await refreshed(token);
    if (renewed) response = await send(renewed.access_token);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, answer);
  return Object.defineProperty(answer, 'etag', { value: response.headers.get('etag') });
}

export const get = (path) => call('GET', path);
export const post = (path, body) => call('POST', path, body ?? {});
