// Where in a core's memory does what lie? Byte offsets, shared by the faces that call the kernels. What lies inside the
// work area is the kernels' own (assembly/work.ts). The memory is sized once (asconfig.json): growing it would detach
// every view handed out.

/** Constants and intermediate values of the kernels, 8192 bytes. Static data of the module ends below. */
export const WORK = 4_096
/** Eight chaining values or digests of 32 bytes. */
export const CHAINS = 12_288
/** Eight addresses of 4 bytes, little-endian: the inputs of the lanes. */
export const INPUTS = 12_544
/** The digests of the 1024 blocks of 4 MiB of a file. */
export const DIGESTS = 16_384
/** Where bytes lying outside of the memory pass through on their way to the single stream. */
export const STAGE = 49_152
export const STAGE_BYTES = 16_384
/** The input window: reads may go straight into it. 1 MiB stays in a second-level cache, and larger reads gain nothing. */
export const WINDOW = 65_536
export const WINDOW_BYTES = 1_048_576

/** The message block of SHA-256 (FIPS 180-4 §1) and its digest, in bytes. */
export const MESSAGE_BLOCK = 64
export const DIGEST_BYTES = 32
