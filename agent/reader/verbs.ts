/**
 * What may be asked of the reader? A closed list of questions over its Unix socket: what root alone may see, and the agent
 * needs. No path of the caller's choosing is opened: a file is named by what it is, or by the process that has it. How they
 * are answered: `reader.ts`; how an agent asks: `ask.ts`.
 */
import { z, type ZodType } from "zod"
import { base64, count, hex } from "../../attestation/wire/text.ts"

/** Where the reader listens when the system starts it. */
export const readerSocket = "/run/assay-reader/reader.sock"

/** The most bytes of one answer. */
export const partLimit = 1 << 20
/** The most files that are told of one process. */
export const fileLimit = 4096

/** Files that the kernel, the firmware and systemd show to root alone, by what they are called here. */
export const namedFiles = [
  ["firmware-log", "/sys/kernel/security/tpm0/binary_bios_measurements"],
  ["ima-log", "/sys/kernel/security/ima/binary_runtime_measurements"],
  ["ima-log-sha256", "/sys/kernel/security/ima/binary_runtime_measurements_sha256"],
  ["ima-policy", "/sys/kernel/security/ima/policy"],
  ["userspace-log", "/run/log/systemd/tpm2-measure.log"],
  ["smbios", "/sys/firmware/dmi/tables/DMI"],
  ["smbios-entry", "/sys/firmware/dmi/tables/smbios_entry_point"],
] as const

const fileName = z.enum(namedFiles.map(([name]) => name))
const process = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)
const path = z.string().min(1).max(4096)

/** An outcome, as the host tells them apart. */
const found = <T extends ZodType>(value: T) =>
  z.discriminatedUnion("state", [
    z.strictObject({ state: z.literal("present"), value }),
    z.strictObject({ state: z.literal("absent") }),
    z.strictObject({ state: z.literal("unreadable"), problem: z.string().max(4096) }),
  ])

/** A file in a process's memory, or open in it; `file` is its device and inode as the kernel writes them in maps. */
const held = z.strictObject({ path, code: z.boolean(), gone: z.boolean(), file: z.string().max(64) })

/** What bytes are asked of. A process must be one that serves models, whatever it is asked about. */
const content = z.discriminatedUnion("of", [
  z.strictObject({ of: z.literal("named"), name: fileName }),
  /** the executable that it runs, also where another lies at its path now */
  z.strictObject({ of: z.literal("executable"), process }),
  /** code or weights that it has mapped, at this path as it sees it */
  z.strictObject({ of: z.literal("mapped"), process, path }),
  /** a file of a model of the configuration, by its real path */
  z.strictObject({ of: z.literal("weights"), path }),
])
export type Content = z.infer<typeof content>

/** Verb → what it takes and what it gives. */
export const verbs = {
  /** where the process's executable, working folder or mount namespace is */
  link: {
    needs: "the socket",
    request: z.strictObject({ process, link: z.enum(["exe", "cwd", "mounts"]) }),
    answer: found(path),
  },
  /** the files in the memory of a process that serves models, without the addresses */
  mapped: { needs: "the socket", request: z.strictObject({ process }), answer: found(z.array(held).max(fileLimit)) },
  /** the files that it holds open */
  opened: { needs: "the socket", request: z.strictObject({ process }), answer: found(z.array(held).max(fileLimit)) },
  /** of its environment, the variables that change what it does; secrets as `sha256:` and their digest */
  environment: {
    needs: "the socket",
    request: z.strictObject({ process }),
    answer: found(z.array(z.tuple([z.string().max(128), base64(1 << 17)])).max(1024)),
  },
  /** at most 1 MiB from `offset` on; `file` changes when the file does */
  bytes: {
    needs: "the socket",
    request: z.strictObject({ content, offset: count(2 ** 48), length: z.int().min(1).max(partLimit) }),
    answer: found(z.strictObject({ bytes: base64(partLimit), file: z.string().max(256) })),
  },
  /** a file in /boot by its digest alone: an initial file system may hold keys */
  boot: {
    needs: "the socket",
    request: z.strictObject({ name: z.string().regex(/^(?:vmlinuz|initrd\.img|initramfs|config)-[\w.+~-]{1,128}$/) }),
    answer: found(z.strictObject({ sha256: hex(32), size: count(2 ** 48) })),
  },
  /** the digest of the image that Docker runs a container from */
  image: {
    needs: "the socket",
    request: z.strictObject({ container: hex(32) }),
    answer: found(z.string().regex(/^sha256:[0-9a-f]{64}$/)),
  },
} as const
