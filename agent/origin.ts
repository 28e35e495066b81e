/**
 * Where does a fact come from? The file, folder or program that said it, for a person who wants to look there. It follows from the
 * fact's place, so that it need not be extended into a PCR with each fact. Which facts there are: each source.
 */
import type { Fact, Measurement } from "../attestation/protocol/event.ts"

type Row = readonly [source: string, subject: RegExp, fact: RegExp, origin: string]

/** The first row that fits; `$1` is what the subject's pattern caught. */
const rows: readonly Row[] = [
  ["agent", /^/, /^/, "the agent's own files"],
  ["firmware", /^smbios$/, /^(?:table|structures)/, "/sys/firmware/dmi/tables/DMI"],
  ["firmware", /^smbios$/, /^/, "/sys/class/dmi/id"],
  ["firmware", /^uefi$/, /^esrt/, "/sys/firmware/efi/esrt"],
  ["firmware", /^uefi$/, /^/, "/sys/firmware/efi/efivars"],
  ["firmware", /^microcode$/, /^/, "/sys/devices/system/cpu"],
  ["firmware", /^processor$/, /^/, "/proc/cpuinfo"],
  ["firmware", /^controllers$/, /^management-engine/, "/sys/class/mei"],
  ["firmware", /^controllers$/, /^security-processor/, "/sys/bus/pci/drivers/ccp"],
  ["firmware", /^controllers$/, /^/, "/sys/devices/platform"],
  ["firmware", /^tpm$/, /^/, "the TPM, by the broker"],
  ["firmware", /^event-log$/, /^/, "/sys/kernel/security/tpm0"],
  ["firmware", /^fwupd/, /^/, "/usr/bin/fwupdmgr"],
  ["kernel", /^running$/, /^build-id$/, "/sys/kernel/notes"],
  ["kernel", /^running$/, /^taint$/, "/proc/sys/kernel/tainted"],
  ["kernel", /^modules$/, /^/, "/sys/module, /lib/modules"],
  ["kernel", /^bpf$/, /^/, "/usr/sbin/bpftool"],
  ["kernel", /^/, /^/, "/proc/sys, /sys/kernel/security"],
  ["driver", /^nvidia$/, /^(?:module|line\/module)/, "/sys/module/nvidia"],
  ["driver", /^nvidia$/, /^params/, "/proc/driver/nvidia/params"],
  ["driver", /^nvidia$/, /^registry/, "/proc/driver/nvidia/registry"],
  ["driver", /^nvidia$/, /^patches/, "/proc/driver/nvidia/patches"],
  ["driver", /^nvidia$/, /^attestation$/, "/usr/bin/nvidia-smi"],
  ["driver", /^nvidia$/, /^/, "/proc/driver/nvidia/version"],
  ["driver", /^nvidia\/(.+)$/, /^/, "/proc/driver/nvidia/gpus/$1"],
  ["driver", /^nvidia-cards$/, /^/, "/proc/driver/nvidia/gpus"],
  ["driver", /^nvidia-firmware$/, /^/, "/lib/firmware/nvidia"],
  ["driver", /^nvidia-smi$/, /^/, "/usr/bin/nvidia-smi"],
  ["driver", /^amdgpu$/, /^/, "/sys/module/amdgpu"],
  ["driver", /^rocm-smi/, /^/, "/opt/rocm/bin/rocm-smi"],
  ["driver", /^pci\/(.+)$/, /^/, "/sys/bus/pci/devices/$1"],
  ["driver", /^pci$/, /^/, "/sys/bus/pci/devices"],
  ["cuda", /^(\/.+)$/, /^/, "$1"],
  ["cuda", /^$/, /^/, "fixed folders"],
  ["runtime", /^(\/.+)$/, /^/, "$1"],
  ["runtime", /^/, /^/, "fixed folders, /proc"],
  ["weights", /^/, /^/, "the files themselves"],
  ["loaded", /^/, /^environment/, "/proc/<pid>/environ"],
  ["loaded", /^/, /^(?:command)/, "/proc/<pid>/cmdline"],
  ["loaded", /^/, /^(?:unit|container)/, "/proc/<pid>/cgroup"],
  ["loaded", /^/, /^/, "/proc/<pid>"],
]

const programs: readonly (readonly [RegExp, string])[] = [
  [/^nvidia-smi\//, "/usr/bin/nvidia-smi"],
  [/^rocm-smi\//, "/opt/rocm/bin/rocm-smi"],
  [/^fwupd\//, "/usr/bin/fwupdmgr"],
]

/** The file, folder or program that a fact of this measurement comes from; the source's name where no row fits. */
export function originOf({ source, subject }: Pick<Measurement, "source" | "subject">, [name, value]: Fact): string {
  if (name === "contradiction") return "compared"
  const path = name === "absent" || name === "unreadable" ? value.split(": ")[0] : name
  if (path?.startsWith("/")) return path
  const program = programs.find(([pattern]) => pattern.test(name))
  if (program) return program[1]
  const row = rows.find(([from, about, fact]) => from === source && about.test(subject) && fact.test(name))
  if (!row) return `the source ${source}`
  return row[3].replace("$1", row[1].exec(subject)?.[1] ?? "")
}
