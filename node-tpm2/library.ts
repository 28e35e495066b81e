/**
 * How do the C libraries of tpm2-tss get into this process? koffi loads them; every function is bound once, by name and
 * prototype. Which calls are made, and when, is esys.ts's concern.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import koffi, { type LibraryHandle } from "koffi"
import { ownError } from "./error.ts"

/** What crosses into C: numbers, pointers (as bigint, or as the bytes pointed to), a string, or NULL. */
export type NativeValue = number | bigint | string | Uint8Array | null

/** A bound C function that returns a TSS2_RC (or nothing, then 0). */
export interface NativeFunction {
  /** Calls on this thread, and blocks it: for what touches no TPM. */
  now(...values: readonly NativeValue[]): number
  /**
   * Calls on a thread of libuv's pool. koffi keeps no reference to the buffers passed, so whoever calls must hold them
   * until the promise settles, or the C function writes into freed memory.
   */
  later(...values: readonly NativeValue[]): Promise<number>
}

/** One loaded shared library. */
export interface Library {
  bind(name: string, parameters: readonly string[]): NativeFunction
}

/** The libraries in use, under the names of their header files. */
export interface Libraries {
  readonly esys: Library
  readonly mu: Library
  readonly tctildr: Library
  readonly libc: Library
}

/** Debian's package for each library, 12 (bookworm) and 13 (trixie). TCTIs are dlopen'ed: no dependency brings them. */
const PACKAGES: Readonly<Record<string, string>> = {
  "libtss2-mu.so.0": "libtss2-mu0 (Debian 12), libtss2-mu-4.0.1-0t64 (13)",
  "libtss2-sys.so.1": "libtss2-sys1 (Debian 12), libtss2-sys1t64 (13)",
  "libtss2-esys.so.0": "libtss2-esys-3.0.2-0 (Debian 12), libtss2-esys-3.0.2-0t64 (13)",
  "libtss2-tctildr.so.0": "libtss2-tctildr0 (Debian 12), libtss2-tctildr0t64 (13)",
  "libtss2-tcti-device.so.0": "libtss2-tcti-device0 (Debian 12), libtss2-tcti-device0t64 (13)",
  "libtss2-tcti-swtpm.so.0": "libtss2-tcti-swtpm0 (Debian 12), libtss2-tcti-swtpm0t64 (13)",
}

/** koffi runs C on a stack of its own; 128 KiB is its default, and ESYS has arrays of up to 64 KiB beside OpenSSL's. */
const STACK_BYTES = 1 << 20
koffi.config({ async_stack_size: STACK_BYTES }) // koffi takes it only before the first load of the process

const loaded = new Map<string, Libraries>()

/**
 * Loads tpm2-tss and the transport library for `tcti` (`device` or `swtpm`), once per process and folder.
 *
 * @param folder where the libraries lie, or undefined for the dynamic linker's own search (LD_LIBRARY_PATH included)
 * @throws TpmError TPM_LIBRARY_MISSING, naming the Debian package
 */
export function loadLibraries(tcti: "device" | "swtpm", folder: string | undefined): Libraries {
  const key = folder ?? ""
  const libraries = loaded.get(key) ?? loadAll(folder)
  loaded.set(key, libraries)
  open(`libtss2-tcti-${tcti}.so.0`, folder)
  return libraries
}

/** In the order of their dependencies: a library in a private folder finds the ones already loaded by their soname. */
function loadAll(folder: string | undefined): Libraries {
  const libc = open("libc.so.6", undefined)
  silenceLibraries(libc)
  const mu = open("libtss2-mu.so.0", folder)
  open("libtss2-sys.so.1", folder)
  return { libc, mu, esys: open("libtss2-esys.so.0", folder), tctildr: open("libtss2-tctildr.so.0", folder) }
}

/** tpm2-tss prints every expected failure to stderr unless told otherwise, once, before its first call. */
function silenceLibraries(libc: Library): void {
  const KEEP_THE_USERS_VALUE = 0
  libc.bind("setenv", ["str", "str", "int"]).now("TSS2_LOG", "all+NONE", KEEP_THE_USERS_VALUE)
}

/**
 * `deep` (RTLD_DEEPBIND) binds the library's OpenSSL symbols to the system's libcrypto, which it was built against.
 * Without it they bind to the other OpenSSL that the node executable carries and exports.
 */
function open(soname: string, folder: string | undefined): Library {
  const inFolder = folder === undefined ? soname : join(folder, soname)
  const path = folder !== undefined && existsSync(inFolder) ? inFolder : soname
  try {
    return bound(koffi.load(path, { deep: true }))
  } catch (cause) {
    const hint = `install ${PACKAGES[soname] ?? soname}, or name the folder that holds it`
    throw ownError("TPM_LIBRARY_MISSING", "open", `cannot load ${soname} (${String(cause)})`, hint)
  }
}

function bound(handle: LibraryHandle): Library {
  const functions = new Map<string, NativeFunction>()
  return {
    bind(name, parameters) {
      const known = functions.get(name) ?? find(handle, name, parameters)
      functions.set(name, known)
      return known
    },
  }
}

function find(handle: LibraryHandle, name: string, parameters: readonly string[]): NativeFunction {
  try {
    return native(handle.func(name, "uint32", [...parameters]))
  } catch (cause) {
    const hint = "tpm2-tss 3.2 or later is needed"
    throw ownError("TPM_LIBRARY_MISSING", name, `not in the installed tpm2-tss (${String(cause)})`, hint)
  }
}

function native(call: ReturnType<LibraryHandle["func"]>): NativeFunction {
  return {
    now: (...values) => Number(call(...values)) >>> 0,
    later: (...values) =>
      new Promise((resolve, reject) => {
        call.async(...values, (error: Error | null, result: number) => (error ? reject(error) : resolve(result >>> 0)))
      }),
  }
}
