/**
 * How is an ESYS context used without harm? One call at a time, each within a deadline, and never again after a failure
 * that left the context in doubt. What the commands mean is left to tpm.ts.
 */
import { ownError, responseError, TpmError } from "./error.ts"
import { ESYS } from "./esys-table.ts"
import {
  collect,
  type EsysInputs,
  type EsysName,
  type EsysOutputs,
  type EsysTr,
  fixedTr,
  type Invocation,
  prepare,
  prototypeOf,
  release,
} from "./invocation.ts"
import { type Libraries, loadLibraries } from "./library.ts"
import { nativeSlot, slotValue } from "./marshal.ts"
import { Queue } from "./queue.ts"
import { decodeResponseCode, isTpmForm } from "./response-codes.ts"
import { admitTcti } from "./tcti.ts"

/** How a TPM is opened. */
export interface OpenOptions {
  /** Milliseconds that one command may take. Creating an RSA key may take a hardware TPM a minute. */
  readonly deadline: number
  /** Whether `swtpm:` is admitted: for tests and demonstrations. */
  readonly allowSoftware: boolean
  /** A folder with the libraries of tpm2-tss; without it, the dynamic linker searches (LD_LIBRARY_PATH included). */
  readonly libraryPath?: string
}

/** ESYS's fixed numbers (tss2_esys.h). */
export const TR = {
  none: fixedTr(0xfff),
  password: fixedTr(0x0ff),
  owner: fixedTr(0x101),
  null: fixedTr(0x107),
  lockout: fixedTr(0x10a),
  endorsement: fixedTr(0x10b),
  platform: fixedTr(0x10c),
} as const

/** ESYS errors raised while it checks arguments, before anything is sent: BAD_REFERENCE, BAD_VALUE, … */
const HARMLESS_ESYS = new Set([0x05, 0x0b, 0x0d, 0x0e, 0x0f, 0x18, 0x19, 0x1a])

type State =
  | { readonly is: "open" }
  | { readonly is: "closed" }
  | { readonly is: "hung"; readonly command: string }
  | { readonly is: "dead"; readonly because: string }

const LATE = Symbol("past the deadline")

/** One connection to a TPM: an ESYS context over a TCTI. */
export class Esys {
  readonly #libraries: Libraries
  readonly #deadline: number
  readonly #tcti = nativeSlot()
  readonly #context = nativeSlot()
  /** An ESYS context has no lock of its own: of two calls at once, one fails with BAD_SEQUENCE. */
  readonly #queue = new Queue()
  #state: State = { is: "open" }
  /** The native call that runs now, or ran last; never rejects. */
  #inFlight: Promise<unknown> = Promise.resolve()
  #overdue = false

  private constructor(libraries: Libraries, deadline: number) {
    this.#libraries = libraries
    this.#deadline = deadline
  }

  /** Opens a context. @throws TpmError: TPM_TCTI_REFUSED, TPM_LIBRARY_MISSING, TPM_HUNG, or the TCTI's own */
  static async open(tcti: string, options: OpenOptions): Promise<Esys> {
    const transport = admitTcti(tcti, options.allowSoftware)
    if (!(options.deadline > 0 && options.deadline < 2 ** 31)) {
      throw ownError("TPM_BAD_ARGUMENT", "open", `the deadline of ${options.deadline} ms is not a time span`)
    }
    const esys = new Esys(loadLibraries(transport, options.libraryPath), options.deadline)
    try {
      await esys.#enqueue("open", () => esys.#withinDeadline("open", esys.#initialize(tcti)))
      return esys
    } catch (error) {
      await esys.close()
      throw error
    }
  }

  /** Whether a command is past its deadline and still runs: until it returns, this process cannot exit by itself. */
  get hung(): boolean {
    return this.#overdue
  }

  /** Whether calls are still accepted. */
  get usable(): boolean {
    return this.#state.is === "open"
  }

  /**
   * Runs one ESYS function, after all that were called before it.
   *
   * @throws TpmError
   */
  call<Name extends EsysName>(name: Name, ...inputs: EsysInputs<Name>): Promise<EsysOutputs<Name>> {
    return this.#enqueue(name, async () => {
      const invocation = prepare(this.#libraries, name, ESYS[name], inputs)
      const outputs = await this.#withinDeadline(name, this.#run(name, invocation))
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the table's line gave both the type and the reading
      return outputs as EsysOutputs<Name>
    })
  }

  /** Gives up ESYS's number for an object without a word to the TPM (Esys_TR_Close). */
  forget(tr: EsysTr): Promise<void> {
    return this.#enqueue("TR_Close", async () => {
      const slot = nativeSlot()
      new DataView(slot.buffer).setUint32(0, tr, true)
      const rc = this.#libraries.esys.bind("Esys_TR_Close", ["void *", "void *"]).now(slotValue(this.#context), slot)
      if (rc !== 0) throw responseError(rc, "TR_Close")
    })
  }

  /**
   * Closes the context. Twice is no error. If a command hangs, this returns at once, and the memory is given back when
   * (and if) that command ends.
   */
  close(): Promise<void> {
    return this.#queue.run(() => this.#end())
  }

  async #end(): Promise<void> {
    const before = this.#state.is
    this.#state = { is: "closed" }
    if (before === "closed") return
    if (before === "hung") void this.#inFlight.then(() => this.#finalize())
    else await this.#withinDeadline("close", this.#finalize())
  }

  #enqueue<T>(command: string, work: () => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      this.#refuseUnlessOpen(command)
      return work()
    })
  }

  #refuseUnlessOpen(command: string): void {
    const state = this.#state
    const ANEW = "close this Tpm and open it anew"
    if (state.is === "closed") throw ownError("TPM_CLOSED", command, "this Tpm is closed", "open it anew")
    if (state.is === "hung") throw ownError("TPM_HUNG", command, `${state.command} hangs in the TPM`, KILL)
    if (state.is === "dead") throw ownError("TPM_CONTEXT_DEAD", command, `lost since ${state.because}`, ANEW)
  }

  async #run(name: EsysName, invocation: Invocation): Promise<(number | Uint8Array)[]> {
    try {
      const call = this.#libraries.esys.bind(`Esys_${name}`, prototypeOf(ESYS[name]))
      const rc = await call.later(slotValue(this.#context), ...invocation.values)
      if (rc !== 0) throw this.#failure(rc, name)
      return collect(this.#libraries, invocation)
    } finally {
      release(invocation)
    }
  }

  /** After an answer of the TPM, or a refused argument, the context is as before; after anything else it is not. */
  #failure(rc: number, name: string): TpmError {
    const error = responseError(rc, name)
    const harmless = isTpmForm(decodeResponseCode(rc).layer) || isHarmlessEsys(rc)
    if (!harmless && this.#state.is === "open") this.#state = { is: "dead", because: `${name}: ${error.code}` }
    return error
  }

  /**
   * Waits for `work` until the deadline. A late one is left to itself: there is no way to cancel it. Its thread is one of
   * libuv's few, so a process with a hung TPM should end, and by a signal, since `process.exit()` waits for that thread.
   */
  async #withinDeadline<T>(command: string, work: Promise<T>): Promise<T> {
    this.#inFlight = this.#settle(work)
    const alarm = deadlineAfter(this.#deadline)
    try {
      const first = await Promise.race([work, alarm.late])
      if (first !== LATE) return first
    } finally {
      alarm.cancel()
    }
    this.#state = { is: "hung", command }
    this.#overdue = true
    throw ownError("TPM_HUNG", command, `no answer within ${this.#deadline} ms`, KILL)
  }

  /** The end of a call, however it ends; what it brings back too late may be a secret, and nobody waits for it. */
  async #settle(work: Promise<unknown>): Promise<void> {
    try {
      const results = await work
      if (this.#overdue) wipe(results)
    } catch {
      // whoever called has this error, or has heard of the deadline
    }
    this.#overdue = false
  }

  async #initialize(tcti: string): Promise<void> {
    const { tctildr, esys } = this.#libraries
    let rc = await tctildr.bind("Tss2_TctiLdr_Initialize", ["str", "void *"]).later(tcti, this.#tcti)
    if (rc !== 0) throw this.#failure(rc, "open")
    const initialize = esys.bind("Esys_Initialize", ["void *", "void *", "void *"])
    rc = await initialize.later(this.#context, slotValue(this.#tcti), null)
    if (rc !== 0) throw this.#failure(rc, "open")
  }

  /** On another thread: closing the kernel's device flushes what was loaded through it, and may take as long as a command. */
  async #finalize(): Promise<void> {
    const { tctildr, esys } = this.#libraries
    if (slotValue(this.#context) !== 0n) await esys.bind("Esys_Finalize", ["void *"]).later(this.#context)
    if (slotValue(this.#tcti) !== 0n) await tctildr.bind("Tss2_TctiLdr_Finalize", ["void *"]).later(this.#tcti)
  }
}

const KILL =
  "end this process with process.kill(process.pid, 'SIGKILL'), since process.exit() would wait for the TPM; then start anew"

function isHarmlessEsys(rc: number): boolean {
  return decodeResponseCode(rc).layer === "esys" && HARMLESS_ESYS.has(rc & 0xffff)
}

function wipe(results: unknown): void {
  if (!Array.isArray(results)) return
  for (const item of results) if (item instanceof Uint8Array) item.fill(0)
}

/**
 * Resolves when the time is over. An event loop that was busy all that time runs its timers first and hears of finished
 * calls afterwards; the turn in between lets an answer that is already there win.
 */
function deadlineAfter(milliseconds: number): { late: Promise<typeof LATE>; cancel: () => void } {
  const { promise, resolve } = Promise.withResolvers<typeof LATE>()
  const timer = setTimeout(() => setImmediate(() => resolve(LATE)), milliseconds)
  return { late: promise, cancel: () => clearTimeout(timer) }
}
