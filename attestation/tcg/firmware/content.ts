/**
 * Which part of an event's data is its digest over? Only that part is proven when the digest is; the rest is a claim. Most
 * types have one rule (Platform Firmware Profile, 10.4.1), boot loaders have habits, and old versions had others.
 */
import { hash } from "node:crypto"
import { Malformed } from "../../wire/codec.ts"
import { sameBytes } from "../../wire/text.ts"
import type { HashAlgorithm } from "../algorithm.ts"
import { eventTypes } from "./event-type.ts"
import type { FirmwareEvent } from "./log.ts"
import { readVariable } from "./variable.ts"

/** What GRUB puts before the text that it measures. */
const grubPrefixes = [
  "grub_cmd: ",
  "kernel_cmdline: ",
  "module_cmdline: ",
  "grub_cmd ",
  "grub_kernel_cmdline ",
] as const

/** The bytes of the event's data that its digest in `bank` is over, or undefined where it is over something else. */
export function measuredContent(event: FirmwareEvent, bank: HashAlgorithm): Uint8Array | undefined {
  const digest = event.digests.get(bank)
  if (!digest) return undefined
  return candidates(event).find(content => sameBytes(hash(bank, content, "buffer"), digest))
}

/** Whether the digest is of `content`. */
export const digestIs = (event: FirmwareEvent, bank: HashAlgorithm, content: Uint8Array): boolean => {
  const digest = event.digests.get(bank)
  return digest !== undefined && sameBytes(hash(bank, content, "buffer"), digest)
}

function candidates(event: FirmwareEvent): readonly Uint8Array[] {
  const { data } = event
  switch (event.claimedType) {
    case eventTypes.EFI_VARIABLE_BOOT:
    case eventTypes.EFI_VARIABLE_BOOT2:
      return [data, ...variableData(data)]
    case eventTypes.EFI_VARIABLE_AUTHORITY:
      // shim before 15.3 hashed one byte less than it logged.
      return [data, data.subarray(0, -1)]
    case eventTypes.IPL:
      return texts(data)
    case eventTypes.EVENT_TAG:
      return [data, data.subarray(8)]
    default:
      return [data]
  }
}

function variableData(data: Uint8Array): Uint8Array[] {
  try {
    return [readVariable(data).data]
  } catch (error) {
    if (error instanceof Malformed) return []
    throw error
  }
}

/**
 * A text with or without its NUL (of one byte or two), with or without what GRUB says that it is; or a section's name, which
 * systemd-stub logs in UCS-2 and measures in ASCII with a NUL.
 */
function texts(data: Uint8Array): Uint8Array[] {
  const prefix = grubPrefixes.find(each => Buffer.from(data.subarray(0, each.length)).toString("latin1") === each)
  const plain = prefix ? [data.subarray(prefix.length)] : []
  const inAscii = data.filter((_, at) => at % 2 === 0)
  return [data, ...plain, inAscii].flatMap(text => [
    text,
    text.subarray(0, -1),
    text.subarray(0, -2),
    Buffer.concat([text, Buffer.alloc(1)]),
  ])
}
