/**
 * How does a person tell this agent what to do? In one TOML file, of which every key and every default stands here. What
 * each key means to a person: docs/agent-configuration.md. Nothing here reads a file or starts anything.
 */
import { z } from "zod"
import { count, line } from "../attestation/wire/text.ts"
import { readerSocket } from "./reader/verbs.ts"
import type { Proxy } from "../channel/dial.ts"
import { BadConfiguration, readToml } from "../local/configuration.ts"

/** Where the file is looked for unless another is named. */
export const configurationPath = "/etc/assay/agent.toml"
const document = "docs/agent-configuration.md"

/** Every default. systemd's $STATE_DIRECTORY and $RUNTIME_DIRECTORY go before the two folders. Times in seconds. */
export const defaults = Object.freeze({
  /** what must survive a restart: enrolment, spool, the broker's keys and logs */
  state: "/var/lib/assay-agent",
  /** sockets */
  runtime: "/run/assay-agent",
  /** who shows the agent what root alone may see; none need answer there */
  reader: readerSocket,
  tpm: Object.freeze({
    /** "own": the agent starts its broker itself; else the socket of one that the system starts */
    broker: "own",
    tcti: "device:/dev/tpmrm0",
    /** whether a software TPM is accepted: for demonstrations and tests, and told in every result */
    software: false,
    /** the PCR that holds our event log */
    pcr: 23,
    /** what every quote covers */
    pcrs: Object.freeze([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 23]),
    /** a file with the EK's certificate, where the TPM holds none; "": none */
    ek_certificate: "",
    /** that one TPM command may take before the broker gives up */
    deadline: 30,
  }),
  hash: Object.freeze({
    /** threads; "auto": two where there are more than two cores, else one */
    workers: "auto",
    /** what hashes known files again: "auto" measures */
    engine: "auto",
    /** V8's wider instructions for the hashing core: needs Node 26 */
    revectorize: false,
    /** in which all weights are read once more in the background; 0: never */
    recheck: 86_400,
    /** the most mebibytes per second that this reads; 0: as many as it needs to be done in time */
    rate: 0,
    /** "buffered": what readers see; "direct": what the disk holds; "alternate": each in turn */
    reads: "alternate",
  }),
  /** between glances at what is plugged in and runs, and between measurements that nothing called for */
  fresh: Object.freeze({ glance: 30, beat: 900 }),
  /** between reports while no collector is connected */
  reports: Object.freeze({ every: 3600 }),
  /** the agent's own door for outside verifiers; "": shut. `questions` in a minute of one verifier */
  listener: Object.freeze({ host: "", port: 7444, questions: 6 }),
  /** the HTTP proxy on the way to the collector; "": none. `credentials` is a file with user:password; "": none are asked for */
  proxy: Object.freeze({ host: "", port: 3128, credentials: "" }),
  /** the most pieces of evidence, and mebibytes of it, that wait for a collector; and as many that one has acknowledged */
  resume: Object.freeze({ bus: "/run/dbus/system_bus_socket" }),
  spool: Object.freeze({ evidence: 1000, mebibytes: 64, horizon: 30 }),
})

const whole = (min: number, max: number) => z.int().min(min).max(max)
const path = line(512).regex(/^\//, "not a path that begins with /")
/** A model of Ollama is named within its store: ollama:/store/name:tag. */
const modelPath = line(512).regex(/^(?:ollama:)?\//, "not a path that begins with /, or with ollama:/")
const pcr = z.union([z.literal(16), z.literal(23)], "only PCR 16 and PCR 23 are free for our log")

/** The file's schema; every table may be left out. */
export const file = z.strictObject({
  state: path.max(80).optional(),
  runtime: path.max(80).optional(),
  reader: path.max(100).default(defaults.reader),
  tpm: z
    .strictObject({
      broker: z.union([z.literal("own"), path.max(100)], 'neither "own" nor a path').default("own"),
      tcti: line(256).min(1).default(defaults.tpm.tcti),
      software: z.boolean().default(defaults.tpm.software),
      pcr: pcr.default(23),
      pcrs: z
        .array(count(23))
        .min(1)
        .max(24)
        .default([...defaults.tpm.pcrs]),
      ek_certificate: z.union([z.literal(""), path], "not a path that begins with /").default(""),
      deadline: whole(1, 600).default(defaults.tpm.deadline),
    })
    .prefault({}),
  weights: z
    .array(
      z.strictObject({
        name: line(256).min(1).optional(),
        path: modelPath,
        links: z.enum(["own", "anywhere"]).default("own"),
      }),
    )
    .max(64)
    .default([]),
  hash: z
    .strictObject({
      workers: z.union([z.literal("auto"), whole(1, 64)], 'neither "auto" nor 1 to 64').default("auto"),
      engine: z.enum(["auto", "wasm", "native"]).default("auto"),
      revectorize: z.boolean().default(defaults.hash.revectorize),
      recheck: whole(0, 31_536_000).default(defaults.hash.recheck),
      rate: whole(0, 65_536).default(defaults.hash.rate),
      reads: z.enum(["buffered", "direct", "alternate"]).default("alternate"),
    })
    .prefault({}),
  fresh: z
    .strictObject({
      glance: whole(1, 86_400).default(defaults.fresh.glance),
      beat: whole(1, 86_400).default(defaults.fresh.beat),
    })
    .prefault({}),
  reports: z.strictObject({ every: whole(1, 86_400).default(defaults.reports.every) }).prefault({}),
  listener: z
    .strictObject({
      host: line(253).default(defaults.listener.host),
      port: whole(0, 65_535).default(defaults.listener.port),
      questions: whole(1, 1000).default(defaults.listener.questions),
      verifiers: z
        .array(
          z.strictObject({
            name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "not letters, digits, dots and dashes"),
            key: z.string().regex(/^[0-9a-f]{64}$/, "not the SHA-256 of a public key in hexadecimal"),
          }),
        )
        .max(64)
        .default([]),
    })
    .prefault({}),
  proxy: z
    .strictObject({
      host: line(253).default(defaults.proxy.host),
      port: whole(1, 65_535).default(defaults.proxy.port),
      credentials: z.union([z.literal(""), path], "not a path that begins with /").default(defaults.proxy.credentials),
    })
    .prefault({}),
  resume: z
    .strictObject({
      bus: z.union([z.literal(""), path.max(100)], "not a path that begins with /").default(defaults.resume.bus),
    })
    .prefault({}),
  spool: z
    .strictObject({
      evidence: whole(2, 100_000).default(defaults.spool.evidence),
      mebibytes: whole(1, 65_536).default(defaults.spool.mebibytes),
      horizon: whole(1, 3650).default(defaults.spool.horizon),
    })
    .prefault({}),
})
type File = z.infer<typeof file>

/** A model to measure: what it is called in evidence, the file or folder that it is, and where its links may lead. */
export type Weights = { readonly name: string; readonly path: string; readonly links: "own" | "anywhere" }
export type Configuration = Omit<File, "state" | "runtime" | "weights" | "proxy" | "listener"> & {
  readonly listener: File["listener"] | "off"
  readonly proxy: Proxy | "none"
  readonly state: string
  readonly runtime: string
  readonly weights: readonly Weights[]
}

/** What the file leaves to the machine: systemd's two folders. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The configuration in `text`. Throws BadConfiguration. */
export function readConfiguration(text: string, environment: Environment): Configuration {
  const given = readToml(file, text, document)
  const weights = given.weights.map(each => ({ ...each, name: each.name ?? each.path }))
  const pcrs = [...new Set(given.tpm.pcrs)].toSorted((a, b) => a - b)
  refuseDoubles(weights)
  if (!pcrs.includes(given.tpm.pcr))
    throw new BadConfiguration(
      `tpm.pcrs lacks PCR ${given.tpm.pcr}, which holds the log`,
      `add ${given.tpm.pcr} to tpm.pcrs`,
    )
  return Object.freeze({
    ...given,
    weights,
    proxy: given.proxy.host === "" ? "none" : given.proxy,
    listener: listenerOf(given.listener),
    tpm: { ...given.tpm, pcrs },
    state: given.state ?? firstFolder(environment["STATE_DIRECTORY"]) ?? defaults.state,
    runtime: given.runtime ?? firstFolder(environment["RUNTIME_DIRECTORY"]) ?? defaults.runtime,
  })
}

/** A door that nobody may use is a mistake. */
function listenerOf(given: File["listener"]): File["listener"] | "off" {
  if (given.host === "") return "off"
  if (given.verifiers.length > 0) return given
  throw new BadConfiguration(
    "listener.host is set, and no verifier is listed",
    "add [[listener.verifiers]] with name and key",
  )
}

/** systemd.exec(5): a list separated by colons when the unit names several. */
const firstFolder = (list: string | undefined): string | undefined =>
  list?.split(":").find(each => each.startsWith("/"))

function refuseDoubles(weights: readonly Weights[]): void {
  const names = weights.map(each => each.name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined)
    throw new BadConfiguration(`two weights are called ${twice}`, "give each of them a name of its own")
}
