/** How does a test get a collector? The real one, on a port of its own, with its files in a temporary folder. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Collector, startCollector } from "../collector/main.ts"
import { type Configuration, readConfiguration } from "../collector/config.ts"
import { type CollectorVerbs, verbs } from "../collector/verbs.ts"
import { type Caller, openCaller } from "../local/call.ts"

export type House = {
  readonly folder: string
  readonly config: Configuration
  readonly collector: Collector
  readonly admin: Caller<CollectorVerbs>
  /** what it said on stderr so far */
  readonly said: readonly string[]
  stop(): Promise<void>
}

/** A configuration in `folder`; `more` is TOML that goes before it. */
export const configurationIn = (folder: string, more = "", port = 0): Configuration =>
  readConfiguration(
    `${more}
[listen]
host = "127.0.0.1"
port = ${port}
[advertise]
host = "127.0.0.1"
[evidence]
pcrs = [0, 7, 23]
`,
    { hostname: "h", environment: { STATE_DIRECTORY: join(folder, "state"), RUNTIME_DIRECTORY: join(folder, "run") } },
  )

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), "collector-"))

/** Starts one in `folder`, whose files may be of one before. */
export async function startHouse(folder: string, more = "", port = 0): Promise<House> {
  const said: string[] = []
  const config = configurationIn(folder, more, port)
  const collector = await startCollector(config, line => said.push(line))
  const admin = await openCaller(collector.socket, verbs, 30_000)
  const stop = async (): Promise<void> => {
    admin.close()
    await collector.stop()
  }
  return { folder, config, collector, admin, said, stop }
}

export const removeFolder = (folder: string): void => rmSync(folder, { recursive: true, force: true })

/** An invitation for one attester. */
export async function invitationFrom({ admin }: Pick<House, "admin">): Promise<string> {
  const asked = { by: "Olga", purpose: "attester", name: "gpu-1", lifetimeSeconds: null, accept: null } as const
  return (await admin.call("invite", asked)).invitation
}
