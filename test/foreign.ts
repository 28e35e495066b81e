/** Who judges besides our own code? Programs that nobody here wrote (openssl, coreutils, jq), each as one function. */
import { spawnSync } from "node:child_process"

/** What `program` prints when it is given `input`. Throws with its stderr when it fails. */
export function output(program: string, args: readonly string[], input: Uint8Array | string = ""): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, maxBuffer: 1 << 26 })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr.toString()}`)
  return stdout
}

/** SHA-256 by coreutils, in hex. */
export const sha256 = (bytes: Uint8Array): string => output("sha256sum", [], bytes).toString().slice(0, 64)

/** A digest by coreutils, in hex. */
export const digestBy = (algorithm: "sha1" | "sha256" | "sha384" | "sha512", bytes: Uint8Array | string): string =>
  output(`${algorithm}sum`, [], bytes).toString().split(" ")[0] ?? ""
