/**
 * How does a service run until it is told to end, and read its configuration anew when it is told so? SIGHUP means that only where
 * somebody supervises the process; a terminal that goes away still ends what it started.
 */
import { hintOf } from "../attestation/wire/hinted.ts"
import { nobody, type Supervisor } from "../local/supervisor.ts"
import { complain, type Terminal, untilInterrupted } from "./terminal.ts"

/** What is run: how its configuration is read, and what runs with it until the signal is aborted. */
export type Daemon<C> = {
  readonly read: () => Promise<C>
  readonly run: (configuration: C, signal: AbortSignal) => Promise<void>
}

/** Runs it until it is interrupted; with another configuration from each reload on. Throws what `read` and `run` do at first. */
export async function untilEnded<C extends object>(
  daemon: Daemon<C>,
  terminal: Terminal,
  supervisor: Supervisor,
): Promise<void> {
  const ended = untilInterrupted(terminal)
  let configuration: C = await daemon.read()
  for (;;) {
    const reload = untilReloaded(daemon, terminal, supervisor)
    await daemon.run(configuration, AbortSignal.any([ended, reload.signal]))
    reload.forget()
    if (ended.aborted || reload.next === undefined) break
    configuration = reload.next
  }
  supervisor.tell("STOPPING=1")
}

/** A configuration that cannot be used changes nothing: the old one stays, and it is said why. */
function untilReloaded<C extends object>({ read }: Daemon<C>, terminal: Terminal, supervisor: Supervisor) {
  const controller = new AbortController()
  const reload = { signal: controller.signal, next: undefined as C | undefined, forget: () => undefined as void }
  const hangUp = async (): Promise<void> => {
    try {
      reload.next = await read()
      supervisor.tell("RELOADING=1", "STATUS=reading the configuration anew")
      controller.abort(new Error("reload"))
    } catch (error) {
      const hint = hintOf(error)
      complain(terminal, `not reloaded: ${error instanceof Error ? error.message : String(error)}`, hint)
    }
  }
  if (supervisor !== nobody) {
    const listener = (): void => void hangUp()
    process.on("SIGHUP", listener)
    reload.forget = () => void process.off("SIGHUP", listener)
  }
  return reload
}
