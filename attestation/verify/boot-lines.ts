/**
 * What does a proven boot say, in lines that can be compared one by one and read by a person? Measurements of the source `boot`,
 * as an attester's own are of other sources; but these are the verifier's, made from logs that replayed to quoted PCRs.
 * References are proposed and pins are written from these lines, and nothing else.
 */
import { createHash } from "node:crypto"
import type { Fact, Measurement } from "../protocol/event.ts"
import type { Image } from "../tcg/firmware/boot.ts"
import type { Database } from "../tcg/firmware/secure-boot.ts"
import { plainLine } from "../wire/text.ts"
import type { BootFacts } from "./firmware-log.ts"

/** The parts of a boot, as references name them. */
export const bootParts = [
  "firmware",
  "secure-boot",
  "keys",
  "chain",
  "loader",
  "kernel",
  "command-line",
  "settings",
  "userspace",
] as const
export type BootPart = (typeof bootParts)[number]

/** The lines of a boot: one measurement a part, of the parts of which anything is proven. */
export function bootMeasurements(boot: BootFacts): Measurement[] {
  return bootParts.flatMap(part => {
    const facts = lines[part](boot)
      .map(([name, value]): [string, string] => [plainLine(name, 256), spelled(value)])
      .slice(0, mostFacts)
    return facts.length === 0
      ? []
      : [{ type: "assay.measurement.v1" as const, source: "boot", subject: part, state: "present" as const, facts }]
  })
}

const mostFacts = 1024
const longest = 4096

/** A value as one line; of what is too long for one, its beginning and the digest of the whole. */
function spelled(value: string): string {
  const line = plainLine(value, longest)
  if (line.length < longest) return line
  return `${plainLine(value, 1024)}… sha256:${createHash("sha256").update(value).digest("hex")}`
}

const lines: Readonly<Record<BootPart, (boot: BootFacts) => readonly Fact[]>> = {
  firmware: ({ crtmVersion, blobs, images, startup }) => [
    ...maybe("version", crtmVersion),
    ...(blobs.length > 0 ? [["startup locality", String(startup.locality)] as const] : []),
    ...blobs.map(({ digest }): Fact => ["code", digest]),
    ...images.filter(({ pcr }) => pcr === 0 || pcr === 2).map(({ digest }): Fact => ["driver", digest]),
  ],
  "secure-boot": ({ secureBoot, proven }) =>
    proven.includes(7)
      ? [
          ["state", secureBoot.state],
          ...secureBoot.authorities.map(({ variable, digest }): Fact => [`authority of ${variable}`, digest]),
          ...(secureBoot.sbatLevel ?? "")
            .split("\\u000a")
            .flatMap((each): Fact[] => (each === "" ? [] : [["revocations (SBAT)", each]])),
          ...Object.entries(secureBoot.others),
          ...secureBoot.actions.map((each): Fact => ["action", each]),
        ]
      : [],
  keys: ({ secureBoot: { platformKey, keyExchangeKeys, allowed, forbidden }, mokLists }) => [
    ...databaseLines("PK", platformKey),
    ...databaseLines("KEK", keyExchangeKeys),
    ...databaseLines("db", allowed),
    ...maybe("dbx", forbidden?.sha256),
    ...mokLists.map(({ claimedPath, digest }): Fact => [`list ${claimedPath}`, digest]),
  ],
  chain: ({ images }) =>
    images
      .filter(({ pcr }) => pcr !== 0 && pcr !== 2)
      .map((image): Fact => [`image ${fileOf(image)}`.trim(), image.digest]),
  loader: ({ grub, loaded }) => [
    ...grub.commands.filter(each => !isCommandLine(each, grub)).map((each): Fact => ["command", each]),
    ...grub.files.filter(file => !grub.kernels.includes(file) && !grub.initrds.includes(file)).map(fileLine("file")),
    ...loaded.filter(({ text }) => text === undefined).map((each): Fact => [each.claimedTag, each.digest]),
  ],
  kernel: ({ grub, sections }) => [
    ...grub.kernels.map(fileLine("kernel")),
    ...grub.initrds.map(fileLine("initrd")),
    ...sections.map(({ name, digest }): Fact => [`section ${name}`, digest]),
  ],
  "command-line": ({ grub, loaded }) =>
    [...grub.claimedCommandLines, ...loaded.flatMap(({ text }) => text ?? [])]
      .flatMap(each => each.split(" "))
      .flatMap((each): Fact[] => (each === "" ? [] : [["parameter", each]])),
  settings: ({ digests }) =>
    digests.filter(([pcr]) => settingsPcrs.has(pcr)).map(([pcr, digest]): Fact => [`PCR ${pcr}`, digest]),
  userspace: ({ userspace }) =>
    userspace.filter(({ pcr }) => pcr !== 11).map(({ pcr, claimedText }): Fact => [`PCR ${pcr}`, claimedText]),
}

/** What firmware measures of its settings, of the boot order and of the disk, digest by digest: it has no names that are proven. */
const settingsPcrs: ReadonlySet<number> = new Set([1, 3, 5, 6])

const maybe = (name: string, value: string | undefined): Fact[] => (value === undefined ? [] : [[name, value]])

/** A database by its entries, so that a difference names the key; by the whole where it cannot be read. */
function databaseLines(name: string, database: Database | undefined): Fact[] {
  if (!database) return []
  if (!database.signatures) return [[name, database.sha256]]
  return database.signatures.map(({ kind, digest }): Fact => [name, `${kind} ${digest}`])
}

/** Where an image was loaded from is a claim: only its file tells a reader which it is. */
const fileOf = ({ claimedPath }: Image): string =>
  claimedPath.slice(claimedPath.lastIndexOf(")/") + 1).replace(/^\/+/, "")

const fileLine =
  (kind: string) =>
  ({ claimedPath, digest }: { readonly claimedPath: string; readonly digest: string }): Fact => [
    `${kind} ${claimedPath}`,
    digest,
  ]

/** A command that hands the kernel its command line says the same once more. */
const isCommandLine = (command: string, { claimedCommandLines }: BootFacts["grub"]): boolean =>
  claimedCommandLines.some(each => command === each || (/^linux(?:efi|16)? /.test(command) && command.endsWith(each)))
