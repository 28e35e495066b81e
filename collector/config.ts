/**
 * How does a person tell this collector what to do? In one TOML file, of which every key and every default stands here. What
 * each key means to a person: docs/collector-configuration.md. Nothing here reads a file or starts anything.
 */
import { z } from "zod"
import { quirkNames } from "../attestation/tcg/firmware/replay.ts"
import { count, line } from "../attestation/wire/text.ts"
import { BadConfiguration, readToml } from "../local/configuration.ts"

/** Where the file is looked for unless another is named. */
export const configurationPath = "/etc/assay/collector.toml"
const document = "docs/collector-configuration.md"

/** Every default but the advertised host, which is the machine's own name. Times in seconds. */
export const defaults = Object.freeze({
  /** what must survive a restart: keys and the store. systemd's $STATE_DIRECTORY goes before it */
  state: "/var/lib/assay-collector",
  /** the administration socket. systemd's $RUNTIME_DIRECTORY goes before it */
  runtime: "/run/assay-collector",
  /** for whom the evidence is: the audience of challenges */
  name: "collector",
  listen: Object.freeze({ host: "0.0.0.0", port: 7443 }),
  /** what invitations say; port 0 is the one listened on */
  advertise: Object.freeze({ port: 0 }),
  challenge: Object.freeze({ every: 300, deadline: 600, full: 43_200, stale: 900 }),
  /** "": nobody's approval counts yet */
  policy: Object.freeze({ root: "" }),
  invitation: Object.freeze({ lifetime: 86_400 }),
  /** the PCR that holds every attester's log, what else each quote must cover, and which defects of firmware are lived with */
  evidence: Object.freeze({
    pcr: 23,
    pcrs: Object.freeze([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    quirks: Object.freeze([]),
  }),
  /** years for which nothing is pruned; who cosigns and stamps checkpoints, and how often they are asked */
  vault: Object.freeze({
    retention: 7,
    witnesses: Object.freeze([]),
    ask: 60,
    timestamps: "",
    authority: "",
    stamp: 86_400,
  }),
  /** "": the key under which secrets rest is made in the state folder */
  secrets: Object.freeze({ key: "" }),
  limits: Object.freeze({
    /** connections at once */
    connections: 5000,
    /** new connections a minute from one address */
    accepts: 240,
    /** seconds for each of TLS handshake, request header and first message */
    greeting: 10,
    /** seconds for the bytes of one piece of evidence */
    delivery: 60,
    /** mebibytes of evidence on its way at once, over all connections */
    buffered: 256,
    /** questions a minute from one outside verifier */
    asks: 6,
    /** refused and missed answers that are kept of each attester */
    incidents: 100,
    /** seconds for which an answer after its deadline still counts as history */
    late: 604_800,
  }),
})

const whole = (min: number, max: number) => z.int().min(min).max(max)
const seconds = whole(1, 86_400)
const path = line(512).regex(/^\//, "not a path that begins with /")
const host = line(253).min(1)
const address = line(512).regex(/^https?:\/\/[^\s/]/, "not an address that begins with http:// or https://")

/** The file's schema; every table may be left out. */
export const file = z.strictObject({
  state: path.optional(),
  runtime: path.max(80).optional(),
  name: line(64)
    .min(1)
    .refine(name => !name.startsWith("verifier:"), "verifier: is how outside verifiers are called")
    .default(defaults.name),
  listen: z
    .strictObject({ host: host.default(defaults.listen.host), port: whole(0, 65_535).default(defaults.listen.port) })
    .prefault({}),
  advertise: z
    .strictObject({
      host: z
        .string()
        .regex(/^([A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])$/, "neither a host name nor an IPv6 address in brackets")
        .optional(),
      port: whole(0, 65_535).default(defaults.advertise.port),
    })
    .prefault({}),
  challenge: z
    .strictObject({
      every: seconds.default(defaults.challenge.every),
      deadline: seconds.default(defaults.challenge.deadline),
      full: seconds.default(defaults.challenge.full),
      stale: whole(1, 604_800).default(defaults.challenge.stale),
    })
    .prefault({}),
  /** whose approval counts: the SHA-256 of the first policy's text, which a person compared */
  policy: z
    .strictObject({
      root: z
        .string()
        .regex(/^(sha256:[0-9a-f]{64})?$/, "not a digest like sha256:…")
        .default(defaults.policy.root),
    })
    .prefault({}),
  invitation: z.strictObject({ lifetime: whole(60, 2_592_000).default(defaults.invitation.lifetime) }).prefault({}),
  evidence: z
    .strictObject({
      pcrs: z
        .array(count(23))
        .max(24)
        .default([...defaults.evidence.pcrs]),
      pcr: count(23).default(defaults.evidence.pcr),
      quirks: z.array(z.enum(quirkNames)).max(quirkNames.length).default([]),
    })
    .prefault({}),
  vault: z
    .strictObject({
      /** whatever is written, nothing of the last year is pruned */
      retention: z
        .int()
        .min(1, "less than one year: what is younger is never pruned")
        .max(100)
        .default(defaults.vault.retention),
      /** where a witness listens, and its key as `assay witness` prints it */
      witnesses: z
        .array(line(768).regex(/^https?:\/\/[^\s/]\S* \S+$/, "not an address, a space, and a witness's key"))
        .max(8)
        .default([]),
      ask: seconds.default(defaults.vault.ask),
      timestamps: address.or(z.literal("")).default(defaults.vault.timestamps),
      authority: path.or(z.literal("")).default(defaults.vault.authority),
      stamp: whole(1, 31_536_000).default(defaults.vault.stamp),
    })
    .prefault({}),
  secrets: z.strictObject({ key: path.or(z.literal("")).default(defaults.secrets.key) }).prefault({}),
  limits: z
    .strictObject({
      connections: whole(1, 20_000).default(defaults.limits.connections),
      accepts: whole(1, 1_000_000).default(defaults.limits.accepts),
      greeting: whole(1, 600).default(defaults.limits.greeting),
      delivery: whole(1, 3600).default(defaults.limits.delivery),
      buffered: whole(32, 65_536).default(defaults.limits.buffered),
      asks: whole(1, 6000).default(defaults.limits.asks),
      incidents: whole(1, 10_000).default(defaults.limits.incidents),
      late: whole(0, 31_536_000).default(defaults.limits.late),
    })
    .prefault({}),
})
type File = z.infer<typeof file>
export type Configuration = Omit<File, "state" | "runtime" | "advertise"> & {
  readonly state: string
  readonly runtime: string
  readonly advertise: { readonly host: string; readonly port: number }
}

/** What the file leaves to the machine: its name, and systemd's two folders in its environment. */
export type Circumstances = {
  readonly hostname: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The configuration in `text`. Throws BadConfiguration. */
export function readConfiguration(text: string, { hostname, environment }: Circumstances): Configuration {
  const given = readToml(file, text, document)
  if (given.challenge.stale <= given.challenge.every)
    throw new BadConfiguration(
      "challenge.stale is not longer than challenge.every",
      "an attester would be stale between two challenges: make challenge.stale two or three times challenge.every",
    )
  return Object.freeze({
    ...given,
    state: given.state ?? firstFolder(environment["STATE_DIRECTORY"]) ?? defaults.state,
    runtime: given.runtime ?? firstFolder(environment["RUNTIME_DIRECTORY"]) ?? defaults.runtime,
    advertise: { ...given.advertise, host: given.advertise.host ?? hostname },
  })
}

/** systemd.exec(5): a list separated by colons when the unit names several. */
const firstFolder = (list: string | undefined): string | undefined =>
  list?.split(":").find(each => each.startsWith("/"))
