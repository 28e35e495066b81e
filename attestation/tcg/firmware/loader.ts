/** What did the boot loader do, and with which kernel, initrd and command line? PCRs 8, 9 and 11 to 14. */
import { latin1, plainLine } from "../../wire/text.ts"
import { ofType, type ProvenEvent } from "./proven.ts"
import { ucs2 } from "./variable.ts"

/** A file whose digest is proven and whose name is not. */
export type LoadedFile = { readonly digest: string; readonly claimedPath: string }

/** GRUB: commands in PCR 8, files in PCR 9. What a text is called in the log ("grub_cmd") is not measured, the text is. */
export type Grub = {
  readonly commands: readonly string[]
  /** the texts among them that the log calls a kernel's command line */
  readonly claimedCommandLines: readonly string[]
  readonly files: readonly LoadedFile[]
  /** files that a proven command loads by that path: `linux`, `initrd` */
  readonly kernels: readonly LoadedFile[]
  readonly initrds: readonly LoadedFile[]
}

/** What PCRs 8 and 9 say of GRUB. */
export function grubOf(events: readonly ProvenEvent[]): Grub {
  const texts = ofType(events, 8, "IPL").flatMap(event =>
    event.content
      ? [{ text: textOf(event.content), claimed: latin1(event.untrustedData.subarray(0, longestCommandLine)) }]
      : [],
  )
  const commands = texts.map(({ text }) => text)
  const files = ofType(events, 9, "IPL").map(each => ({
    digest: each.digest,
    claimedPath: textOf(each.untrustedData),
  }))
  return {
    commands,
    claimedCommandLines: texts.filter(({ claimed }) => commandLine.test(claimed)).map(({ text }) => text),
    files,
    kernels: loadedBy(commands, files, /^linux(?:efi|16)? /),
    initrds: loadedBy(commands, files, /^initrd(?:efi|16)? /),
  }
}

const commandLine = /^(?:kernel_cmdline: |grub_kernel_cmdline )/
/** Bytes that are enough to tell that. */
const longestCommandLine = 32

function loadedBy(commands: readonly string[], files: readonly LoadedFile[], command: RegExp): LoadedFile[] {
  const paths = new Set(commands.filter(each => command.test(each)).flatMap(each => each.split(" ").slice(1)))
  return files.filter(({ claimedPath }) => paths.has(claimedPath))
}

const longest = 8192

/** Bytes as a line: UCS-2 where every second byte is zero, Latin-1 elsewhere; without the NULs at the end. */
function textOf(bytes: Uint8Array): string {
  const isWide = bytes.length >= 4 && bytes.every((byte, at) => at % 2 === 0 || byte === 0)
  return plainLine(isWide ? ucs2(bytes) : latin1(bytes).replace(/\0+$/, ""), longest)
}

/** shim's lists of keys and hashes that a machine's owner enrolled, in PCR 14: name in the log → digest. */
export const mokListsOf = (events: readonly ProvenEvent[]): LoadedFile[] =>
  ofType(events, 14, "IPL").map(({ digest, untrustedData }) => ({ digest, claimedPath: textOf(untrustedData) }))

/** A section of a unified kernel image, measured by systemd-stub into PCR 11: its name proven, its content by digest. */
export type Section = { readonly name: string; readonly digest: string }

/**
 * The stub measures a section's name, then its content. The name proves itself; the content is what the PCR was extended with
 * next, whatever the log calls it.
 */
export function sectionsOf(events: readonly ProvenEvent[]): Section[] {
  const own = events.filter(each => each.pcr === 11)
  return own.flatMap((event, i): Section[] => {
    const name = event.content && textOf(event.content)
    const next = own[i + 1]
    const isName = name !== undefined && /^\.[a-z0-9]{1,15}$/.test(name)
    return isName && next && next.content === undefined ? [{ name, digest: next.digest }] : []
  })
}

/** Anything else that a loader measured: under which tag, with which words, and whether the words are what was measured. */
export type Loaded = {
  readonly pcr: number
  readonly digest: string
  readonly claimedTag: string
  readonly claimedText: string
  /** the text, where the digest is over it: a command line */
  readonly text: string | undefined
}

/** Tags of Linux's EFI stub and of systemd's boot loader and stub. */
const tags: ReadonlyMap<number, string> = new Map([
  [0x8f3b22ec, "linux initrd"],
  [0x8f3b22ed, "linux load options"],
  [0xf5bc582a, "loader.conf"],
  [0x6c46f751, "device tree"],
  [0x49dffe0f, "initrd add-on"],
  [0xdac08e1a, "microcode add-on"],
  [0xd5cb7cbc, "SMBIOS type 1"],
  [0xe0d47bc8, "SMBIOS type 2"],
  [0xc0b3bd23, "SMBIOS type 11"],
])

/** Tagged events of every PCR, and what systemd measures into PCRs 12 (command lines, credentials) and 13 (extensions). */
export const loadedOf = (events: readonly ProvenEvent[]): Loaded[] => [
  ...ofType(events, "any", "EVENT_TAG").map(taggedOf),
  ...[...ofType(events, 12, "IPL"), ...ofType(events, 13, "IPL")].map(event =>
    loaded(event, "text", event.untrustedData),
  ),
]

function taggedOf(event: ProvenEvent): Loaded {
  const { untrustedData } = event
  const tag = untrustedData.length >= 8 ? Buffer.from(untrustedData).readUInt32LE(0) : 0
  return loaded(event, tags.get(tag) ?? `0x${tag.toString(16)}`, untrustedData.subarray(8))
}

const loaded = ({ pcr, digest, content }: ProvenEvent, claimedTag: string, words: Uint8Array): Loaded => ({
  pcr,
  digest,
  claimedTag,
  claimedText: textOf(words),
  text: content && textOf(content),
})
