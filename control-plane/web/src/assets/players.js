// The two players behind one face. In: a video element, a manifest and a licence server. Out: a running player that
// reports faults in the page's own words, and when a licence came.
//
// A fault is { kind, status?, url?, text? }; its kinds are the keys of MESSAGES in watch.js.

const CLEARKEY = 'org.w3.clearkey';
/** hls.js would go on asking for a missing segment for half a minute before it says so. */
const SEGMENT_RETRY = { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 2000 };

/**
 * Starts a player. `on.fault(fault)` is called for what ends playback, `on.licensed()` for each licence.
 * Returns a function that stops it.
 */
export function start(name, video, source, on) {
  if (!('MediaSource' in window)) {
    on.fault({ kind: 'no-mse' });
    return () => {};
  }
  // A decoder that fails says so here, whichever player runs: code 3 is MEDIA_ERR_DECODE.
  video.addEventListener('error', () => on.fault({ kind: video.error?.code === 3 ? 'decode' : 'other', text: video.error?.message }));
  return name === 'hls' ? startHls(video, source, on) : startShaka(video, source, on);
}

function startShaka(video, { manifest, licence, grant, startTime }, on) {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  player.configure({ drm: { servers: { [CLEARKEY]: licence } } });
  if (grant) player.getNetworkingEngine().registerRequestFilter((type, request) => sign(type, request, grant));
  player.addEventListener('error', (event) => report(event.detail));
  player.addEventListener('drmsessionupdate', () => on.licensed());
  let stopped = false;
  const report = (error) => {
    const fault = shakaFault(error);
    if (fault && !stopped) on.fault(fault);
  };
  player.attach(video).then(() => player.load(manifest, startTime)).catch(report);
  return () => { stopped = true; player.destroy(); };
}

/** Shows the platform's tokens: the one for keys, and the newest one for media. */
function sign(type, request, grant) {
  const { RequestType } = shaka.net.NetworkingEngine;
  if (type === RequestType.LICENSE) request.headers.Authorization = `Bearer ${grant.drmToken}`;
  else request.uris = request.uris.map(grant.current);
}

/** Translates a shaka.util.Error; errors that the player gets over by itself give nothing. */
function shakaFault(error) {
  const { Code, Category, Severity } = shaka.util.Error;
  if (error?.severity === Severity.RECOVERABLE || error?.code === Code.LOAD_INTERRUPTED) return null;
  const data = error?.data ?? [];
  switch (error?.code) {
    case Code.LICENSE_REQUEST_FAILED: {
      const cause = data[0];
      return { kind: 'licence', status: cause?.code === Code.BAD_HTTP_STATUS ? cause.data[1] : 0 };
    }
    case Code.LICENSE_RESPONSE_REJECTED:
      return { kind: 'bad-licence' };
    case Code.MISSING_EME_SUPPORT:
    case Code.REQUESTED_KEY_SYSTEM_CONFIG_UNAVAILABLE:
    case Code.FAILED_TO_CREATE_CDM:
    case Code.FAILED_TO_ATTACH_TO_VIDEO:
      return { kind: emeFault() };
    case Code.RESTRICTIONS_CANNOT_BE_MET:
      return { kind: 'no-key' };
    case Code.BAD_HTTP_STATUS:
    case Code.HTTP_ERROR:
    case Code.TIMEOUT: {
      const ofManifest = (data[4] ?? data[1]) === shaka.net.NetworkingEngine.RequestType.MANIFEST || isManifest(data[0]);
      return { kind: ofManifest ? 'manifest' : 'part', url: data[0], status: error.code === Code.BAD_HTTP_STATUS ? data[1] : 0 };
    }
    case Code.VIDEO_ERROR:
      return { kind: data[0] === 3 ? 'decode' : 'other', text: data[2] };
    default:
      return error?.category === Category.MANIFEST
        ? { kind: 'bad-manifest', text: `Shaka Player error ${error.code}` }
        : { kind: 'other', text: `Shaka Player error ${error?.code ?? error}` };
  }
}

function startHls(video, { manifest, licence, grant, startTime }, on) {
  const hls = new Hls({
    // The segments are CMAF already: there is nothing to remux in a worker.
    enableWorker: false,
    startPosition: startTime ?? -1,
    fragLoadPolicy: { default: { ...Hls.DefaultConfig.fragLoadPolicy.default, errorRetry: SEGMENT_RETRY } },
    emeEnabled: true,
    drmSystems: { [CLEARKEY]: { licenseUrl: licence } },
    licenseXhrSetup: (xhr, url, context, challenge) => {
      xhr.open('POST', url, true);
      xhr.setRequestHeader('Content-Type', 'application/json');
      if (grant) xhr.setRequestHeader('Authorization', `Bearer ${grant.drmToken}`);
      return challenge;
    },
    xhrSetup: (xhr, url) => {
      if (grant) xhr.open('GET', grant.current(url), true);
    },
    licenseResponseCallback: (xhr) => {
      on.licensed();
      return xhr.response;
    },
  });
  hls.on(Hls.Events.ERROR, (event, data) => {
    if (data.fatal) on.fault(hlsFault(data));
  });
  hls.loadSource(manifest);
  hls.attachMedia(video);
  return () => hls.destroy();
}

/** Translates a fatal hls.js error. */
function hlsFault(data) {
  const { ErrorDetails: Details } = Hls;
  const status = data.response?.code ?? 0;
  switch (data.details) {
    case Details.KEY_SYSTEM_LICENSE_REQUEST_FAILED:
      return { kind: 'licence', status };
    case Details.KEY_SYSTEM_SESSION_UPDATE_FAILED:
      return { kind: 'bad-licence' };
    case Details.KEY_SYSTEM_NO_ACCESS:
    case Details.KEY_SYSTEM_NO_KEYS:
      return { kind: emeFault() };
    case Details.KEY_SYSTEM_STATUS_INTERNAL_ERROR:
      return { kind: 'no-key' };
    case Details.MANIFEST_LOAD_ERROR:
    case Details.MANIFEST_LOAD_TIMEOUT:
    case Details.LEVEL_LOAD_ERROR:
    case Details.LEVEL_LOAD_TIMEOUT:
    case Details.AUDIO_TRACK_LOAD_ERROR:
    case Details.AUDIO_TRACK_LOAD_TIMEOUT:
      return { kind: 'manifest', status, url: data.response?.url ?? data.url };
    case Details.MANIFEST_PARSING_ERROR:
    case Details.LEVEL_PARSING_ERROR:
    case Details.LEVEL_EMPTY_ERROR:
    case Details.MANIFEST_INCOMPATIBLE_CODECS_ERROR:
      return { kind: 'bad-manifest', text: data.error?.message };
    case Details.FRAG_LOAD_ERROR:
    case Details.FRAG_LOAD_TIMEOUT:
      return { kind: 'part', status, url: data.frag?.url ?? data.url };
    default:
      return { kind: 'other', text: `hls.js ${data.details}: ${data.error?.message ?? ''}` };
  }
}

/** Says why no key system was found. */
function emeFault() {
  if (!window.isSecureContext) return 'insecure';
  return 'no-eme';
}

function isManifest(url) {
  return /\.(mpd|m3u8)(\?|$)/.test(String(url));
}
