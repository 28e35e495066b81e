// Where in the work area does each table and each intermediate value lie? Offsets in bytes from its base.
//
// The base is an argument of every exported function and never a constant here: addresses known at compile time let
// the optimiser fold loads in the hot kernels, and V8 13.6's revectorising pass then computed wrong digests, silently
// and only after tier-up. It also lets several instances share one memory.

/** The 64 round constants, 4 bytes each. */
export const CONSTANTS = 0
/** The padding block of a 4096-byte message, 64 bytes. */
export const PADDING_BLOCK = 256
/** The initial hash value, 32 bytes, big-endian like every chaining value outside the kernels. */
export const INITIAL = 320
/** Eight chaining values across the lanes: row i holds word i of lanes 0 to 7, 32 bytes a row. */
export const LANE_CHAINS = 384
/** Eight chaining values or digests, 32 bytes each, big-endian. */
export const CHAINS = 640
/** W[t] + K[t] of the single stream, 64 × 4 bytes. */
export const STREAM_SUMS = 896
/** Two message schedules across the lanes, 64 rows of 32 bytes each: one in use while the next block is transposed. */
export const LANE_WORDS = 1152
export const NEXT_LANE_WORDS = 3200
/** The message schedule of the padding block, the same in all lanes. */
export const PADDING_WORDS = 5248
