// A live stream that can be ended from outside, between two events or in the middle of waiting for one.

/**
 * @param {AsyncIterable<object>} source
 * @param {{change: (event: object) => object, check: () => Promise<Error|null>, everyMs: number}} options `change` is
 *   applied to each event; `check` answers the reason to end, which becomes the last event.
 */
export function guarded(source, { change, check, everyMs }) {
  const iterator = source[Symbol.asyncIterator]();
  let waiting = null; // resolves the next() that is waited for
  let last = null; // the event that is still to be told when the end comes between two
  let isEnded = false;
  const timer = setInterval(async () => {
    const reason = await check();
    if (reason && !isEnded) {
      end({ data: null, errors: [reason] });
    }
  }, everyMs);

  function end(event) {
    isEnded = true;
    clearInterval(timer);
    if (waiting && event) {
      waiting({ done: false, value: event });
    } else {
      last = event;
      waiting?.({ done: true, value: undefined });
    }
    waiting = null;
    // The source may be in the middle of waiting itself; its end is not waited for.
    iterator.return?.()?.catch?.(() => {});
  }

  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (isEnded) {
        const event = last;
        last = null;
        return event ? { done: false, value: event } : { done: true, value: undefined };
      }
      return new Promise((resolve, reject) => {
        waiting = resolve;
        iterator.next().then((step) => {
          if (step.done) {
            isEnded = true;
            clearInterval(timer);
          }
          waiting = null;
          resolve(step.done ? step : { done: false, value: change(step.value) });
        }, (error) => {
          isEnded = true;
          clearInterval(timer);
          reject(error);
        });
      });
    },
    async return() {
      if (!isEnded) {
        end(null);
      }
      return { done: true, value: undefined };
    },
    async throw(error) {
      if (!isEnded) {
        end(null);
      }
      throw error;
    },
  };
}
