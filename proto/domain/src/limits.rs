//! Every bound of the platform, in one place. A limit ends in `_MAX` and carries its unit and its reason.

/// The shortest segment: below this, requests cost more than media.
pub const SEGMENT_MS_MIN: u32 = 500;
/// The longest segment.
pub const SEGMENT_MS_MAX: u32 = 60_000;
/// The longest chunk: what one worker may lose.
pub const CHUNK_MS_MAX: u32 = 600_000;

/// Pixels in one source picture: 8192 × 4352, level 6.2 of H.264 and of AV1.
pub const SOURCE_PIXELS_MAX: u64 = 8192 * 4352;
/// Width or height of a source picture.
pub const SOURCE_EDGE_PX_MAX: u32 = 16_384;
/// Tracks in one source file.
pub const SOURCE_STREAMS_MAX: u32 = 64;
/// Length of one source: 24 h.
pub const SOURCE_DURATION_S_MAX: u64 = 24 * 3600;
/// Bytes of one source: 1 TiB.
pub const SOURCE_LEN_BYTES_MAX: u64 = 1 << 40;
/// Channels of one source audio track.
pub const SOURCE_CHANNELS_MAX: u32 = 16;
/// Sample rate of one source audio track.
pub const SOURCE_SAMPLE_RATE_HZ_MAX: u32 = 384_000;
/// Ticks per second of a source track; nanoseconds are the finest a container gives.
pub const TIMESCALE_MAX: u32 = 1_000_000_000;
/// Video frames in one source: 24 h at 120 frames a second.
pub const SOURCE_FRAMES_MAX: u64 = 24 * 3600 * 120;

/// Video rungs of one ladder.
pub const VIDEO_VARIANTS_MAX: usize = 16;
/// Audio renditions of one ladder.
pub const AUDIO_VARIANTS_MAX: usize = 16;
/// Chunks of one plan; the IV layout gives the chunk 16 bits.
pub const CHUNKS_MAX: usize = 65_535;
/// Chunk objects of all variants of one plan: the packager maps them all, and a process may have 65,530 maps.
pub const CHUNK_OBJECTS_MAX: usize = 60_000;
/// Random access points kept for one track: one each half second of 24 h.
pub const ACCESS_POINTS_MAX: usize = 200_000;

/// Bytes of one control message (job, report) between parent and child; an analysis of 24 h fits.
pub const CONTROL_MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Bytes of one access unit from the child.
pub const ACCESS_UNIT_BYTES_MAX: usize = 16 << 20;
/// Bytes that the child may ask for in one source read.
pub const SOURCE_READ_BYTES_MAX: u32 = 1 << 20;
/// Bytes of one codec configuration record.
pub const CODEC_CONFIG_BYTES_MAX: usize = 64 << 10;
/// Characters of a message that the child may have us show.
pub const CHILD_TEXT_CHARS_MAX: usize = 500;

/// Samples of one MP4 track: 24 h of 120 frames a second, or of AAC at 96 kHz.
pub const MP4_SAMPLES_MAX: u32 = 12_000_000;
/// Nesting of MP4 boxes.
pub const MP4_DEPTH_MAX: u32 = 16;
/// Tracks of one MP4 file.
pub const MP4_TRACKS_MAX: usize = 64;
/// Bytes of one MP4 sample.
pub const MP4_SAMPLE_BYTES_MAX: u32 = 64 << 20;
/// Subsamples of one sample.
pub const SUBSAMPLES_MAX: usize = 4096;

/// Bytes of one ClearKey licence request: some hundred key ids, where a film has three.
pub const LICENCE_REQUEST_BYTES_MAX: usize = 64 << 10;

/// Address space of one child before pictures are counted: libraries, eight allocator arenas, pipes, tables.
pub const CHILD_MEMORY_BASE_BYTES: u64 = 1536 << 20;
/// Address space of one child per processor: a stack of 8 MiB for each thread of the decoder and of the scalers.
pub const CHILD_MEMORY_BYTES_PER_PROCESSOR: u64 = 96 << 20;
/// Address space per pixel of a source picture while headers are read: some pictures of 16-bit 4:4:4.
pub const CHILD_PROBE_MEMORY_BYTES_PER_PIXEL: u64 = 64;
/// Address space per pixel of a source picture in a transcode: about 48 pictures in flight, twice over.
pub const CHILD_MEMORY_BYTES_PER_SOURCE_PIXEL: u64 = 256;
/// Address space per pixel of all rungs: half as much again as x264 takes at its slowest preset.
pub const CHILD_MEMORY_BYTES_PER_RUNG_PIXEL: u64 = 512;
/// Address space of one child.
pub const CHILD_MEMORY_BYTES_MAX: u64 = 32 << 30;
/// Processor time of one child before media is counted.
pub const CHILD_CPU_BASE_S: u64 = 60;
/// Processor time of one child: a week, far above what a chunk of the longest film takes.
pub const CHILD_CPU_S_MAX: u64 = 7 * 24 * 3600;
/// Source bytes that an analysis reads in a millisecond: a fiftieth of what one processor does.
pub const CHILD_ANALYSIS_BYTES_PER_CPU_MS: u64 = 10_000;
/// Processor time for one second of one audio line: ten times what the slowest decoder takes.
pub const CHILD_AUDIO_CPU_MS_PER_S: u64 = 200;
/// Source pixels decoded and scaled in a millisecond: a tenth of what one processor does for 10-bit HEVC.
pub const CHILD_DECODED_PIXELS_PER_CPU_MS: u64 = 4_000;
/// Rung pixels encoded in a millisecond: a tenth of what one processor does at x264's slowest preset.
pub const CHILD_ENCODED_PIXELS_PER_CPU_MS: u64 = 400;
/// Wall time of a child for each second of its bound of processor time.
pub const CHILD_WALL_PER_CPU: u64 = 4;
/// Silence of a child, in seconds: the slowest preset looks 60 frames ahead before its first answer.
pub const CHILD_STALL_S_MAX: u64 = 600;
/// Bytes from one child before media is counted: a probe, an analysis, codec configurations, progress.
pub const CHILD_OUTPUT_BASE_BYTES: u64 = 128 << 20;
/// Bytes from one child for each byte that its rungs' rates give.
pub const CHILD_OUTPUT_PER_RATE: u64 = 4;
/// Reads of the source by one child before its length is counted.
pub const CHILD_READS_BASE_MAX: u64 = 100_000;
/// Source bytes for each further read: four passes in pages of 4 KiB.
pub const CHILD_READ_BYTES_MEAN_MIN: u64 = 1024;
/// Bytes kept of what a child prints to its standard error.
pub const CHILD_STDERR_BYTES_MAX: usize = 4096;

/// Bytes of one event's payload: a broker's usual message bound (1 MiB) less room for headers.
pub const EVENT_BYTES_MAX: usize = 960 << 10;
/// Bytes of one event's key: ids with a suffix.
pub const EVENT_KEY_BYTES_MAX: usize = 256;
/// Bytes of one event's headers, as JSON.
pub const EVENT_HEADERS_BYTES_MAX: usize = 16 << 10;
/// Events of one append or of one record's outputs: a plan of `CHUNKS_MAX` chunks asks for each.
pub const EVENTS_PER_APPEND_MAX: usize = 65_536;
/// Records that one call hands to a batch stage.
pub const BATCH_RECORDS_MAX: usize = 500;
/// Characters of an error that a dead letter keeps.
pub const ERROR_CHARS_MAX: usize = 2000;
/// Partitions of one topic.
pub const PARTITIONS_MAX: u32 = 1024;
/// Runs of one record before it is given up, where a stage does not say otherwise.
pub const ATTEMPTS_MAX: u32 = 8;
/// How long the ledger remembers a record that is done: 24 h.
pub const LEDGER_KEEP_US: i64 = 24 * 3600 * 1_000_000;
/// Bytes of one value in a `TtlStore`.
pub const TTL_VALUE_BYTES_MAX: usize = 64 << 10;
/// Bytes of one key in a `TtlStore`.
pub const TTL_KEY_BYTES_MAX: usize = 512;
/// Rows that one scan of a `TtlStore` gives.
pub const TTL_SCAN_MAX: usize = 1000;
/// Messages that one relay step moves from the outbox to the log: enough to make a step's sync cheap.
pub const OUTBOX_BATCH_MAX: usize = 500;
/// Payload bytes of one relay step, unless its first message alone is larger.
pub const OUTBOX_BATCH_BYTES_MAX: u64 = 8 << 20;
/// Payload bytes that one catalog transaction sends.
pub const OUTBOX_TRANSACTION_BYTES_MAX: usize = 64 << 20;
/// Inbox rows that one sweep step removes, so that a sweep never holds the writer for long.
pub const INBOX_SWEEP_MAX: u32 = 10_000;

/// Keys that one call of a store's `list` gives: S3's page.
pub const OBJECTS_LISTED_MAX: usize = 1000;
/// Parts of one upload: S3's limit.
pub const UPLOAD_PARTS_MAX: u32 = 10_000;
/// Bytes of a part that is not the last: S3's limit.
pub const UPLOAD_PART_BYTES_MIN: u64 = 5 << 20;
/// Bytes of one part, or of one object put in one call: S3's limit.
pub const UPLOAD_PART_BYTES_MAX: u64 = 5 << 30;
/// Uploads in parts that one bucket keeps open.
pub const UPLOADS_OPEN_MAX: usize = 10_000;
/// Seconds that a presigned address works: a week, S3's limit.
pub const PRESIGN_S_MAX: u32 = 7 * 24 * 3600;
/// Announcements of stored objects that wait for their consumer in one bucket; uploads are refused beyond.
pub const OBJECT_EVENTS_WAITING_MAX: usize = 100_000;

/// Bytes of a saga's id or of a signal's name: ids with a suffix.
pub const SAGA_ID_BYTES_MAX: usize = 256;
/// Bytes of one signal's payload, and of a saga's state.
pub const SAGA_VALUE_BYTES_MAX: usize = 64 << 10;
/// Entries of one saga's journal that signals may add: 32 variants of two plans, and a beat of progress each minute for a day.
pub const SAGA_ENTRIES_MAX: usize = 4096;
/// Runs of one step before it has failed: about an hour of back-off, so that a restarted service undoes no film.
pub const SAGA_ATTEMPTS_MAX: u32 = 60;
/// The longest pause between two runs of a step or an undo.
pub const SAGA_BACK_OFF_MS_MAX: u64 = 60_000;
/// The longest run of one step: it says a decision to a service, and leaves the work to stages.
pub const SAGA_STEP_MS_MAX: u64 = 600_000;
/// Sagas that one listing gives.
pub const SAGA_LIST_MAX: usize = 1000;
