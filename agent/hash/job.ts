/** What do a hasher and its thread say to each other, and when is a file still the file that was hashed? */
import type { BigIntStats } from "node:fs"

export type Job = { readonly path: Uint8Array }
/** `state` names the file's contents as long as nobody writes to it; `settled` is false while it is too young to tell. */
export type Digests = {
  readonly sha256: string
  readonly verity: string
  readonly size: number
  readonly state: string
  readonly settled: boolean
}
export type Report =
  | { readonly kind: "progress"; readonly bytes: number }
  | { readonly kind: "hashed"; readonly digests: Digests }
  | { readonly kind: "changed" }
  | { readonly kind: "failed"; readonly code: string }

/** What changes whenever a file's contents do: device, inode, size, and both times in nanoseconds. */
export const stateOf = (stat: BigIntStats): string =>
  [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(":")
