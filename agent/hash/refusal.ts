/** Why can a model not be hashed, and what would help? One error for everything that a file system or a store may be. */
import { Hinted } from "../../attestation/wire/hinted.ts"
import { type Binary, shown } from "./binary.ts"

/**
 * `absent`: there is nothing at the path; `unreadable`: it cannot be hashed as it is; `changed`: it did not hold still;
 * `unsteady`: two implementations, or two reads of a file that nobody wrote to, do not agree.
 */
export type Obstacle = "absent" | "unreadable" | "changed" | "unsteady"

/** The model cannot be hashed, and the hint says what would help. */
export class CannotHash extends Hinted {
  readonly obstacle: Obstacle
  /** what the file system said, such as EACCES; empty where it said nothing */
  readonly code: string
  constructor(obstacle: Obstacle, message: string, hint: string, code = "") {
    super(message, hint)
    this.code = code
    this.obstacle = obstacle
  }
}

/** Throws the refusal that an error of the file system is, and any other error as it is. */
export function refuse(path: Binary, error: unknown): never {
  const code = codeOf(error)
  throw code === undefined ? error : refusal(path, code)
}

/** The code of an error of the file system, such as EACCES. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error ? String(error.code) : undefined

/** The refusal for a code such as EACCES. */
export function refusal(path: Binary, code: string): CannotHash {
  if (code === "ENOENT" || code === "ENOTDIR")
    return new CannotHash("absent", `${shown(path)} is not there`, "look at the path")
  if (code === "EISDIR" || code === "ENODEV") return oddity(path)
  if (code === "EIO") return brokenRead(path)
  const hint =
    code === "EACCES" || code === "EPERM" ? "let the agent's user read it" : "look at the disk and its file system"
  return new CannotHash("unreadable", `${shown(path)} cannot be read (${code})`, hint, code)
}

/** The kernel hands out nothing that is not what it vouches for (fs-verity), and nothing that the disk did not give. */
const brokenRead = (path: Binary): CannotHash =>
  new CannotHash(
    "unreadable",
    `the kernel refuses to read ${shown(path)} (EIO): its contents do not fit their fs-verity digest, or the disk fails`,
    "restore it from its source, and look at the disk and who may write to it",
    "EIO",
  )

/** A file that did not hold still. */
export const unsettled = (path: Binary): CannotHash =>
  new CannotHash("changed", `${shown(path)} changed while it was read`, "wait until whatever writes it is done")

/** A FIFO, a socket, a device. */
export const oddity = (path: Binary): CannotHash =>
  new CannotHash("unreadable", `${shown(path)} is neither a file nor a folder`, "remove it, or name another path")
