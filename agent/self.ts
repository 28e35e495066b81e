/**
 * Which code is this agent? Found once at start from where its own modules lie: in a checkout the folders of source, in a
 * package the folder of the bundle, which keeps the folders of the tree. Its measurement: `sources/agent.ts`.
 */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { version } from "./version.ts"

/** `code` are the files and folders that hold code; `executable` is the interpreter that runs it. */
export type Self = {
  readonly version: string
  readonly root: string
  readonly code: readonly string[]
  readonly node: string
  readonly executable: string
}

/** What the agent's own processes load, in a checkout. */
const parts = ["agent", "attestation", "local", "node-tpm2", "wasm"]
const packages = ["@noble/ed25519", "koffi", "smol-toml", "ws", "zod"].map(name => `node_modules/${name}`)

/** This process. */
export function ownSelf(): Self {
  const here = fileURLToPath(import.meta.url)
  const own = { version, node: process.version, executable: process.execPath }
  const root = join(dirname(here), "..")
  if (!here.endsWith("/agent/self.ts")) return { ...own, root, code: ["."] }
  return { ...own, root, code: [...parts, ...packages].filter(each => existsSync(join(root, each))) }
}
