/** What does looking at a machine give? Three outcomes, and what is said of a file; who looks: host.ts, and reader/ask.ts for it. */

/** There, not there, or there and not to be read, with what would help. */
export type Found<T> =
  | { readonly state: "present"; readonly value: T }
  | { readonly state: "absent" }
  | { readonly state: "unreadable"; readonly problem: string }

/** A file by its contents: SHA-256 in hex, and bytes. */
export type FileDigest = { readonly sha256: string; readonly size: number }

/**
 * `code`: mapped to be run; `gone`: the file that is mapped is not at its path any more; `file`: device and inode as stat(2)
 * has them, "12:345", or unknown. Paths as the process sees them.
 */
export type Mapped = { readonly path: string; readonly code: boolean; readonly gone: boolean; readonly file: string }
