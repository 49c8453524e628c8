// tus-js-client against a server: node tus-js.mjs MODE ENDPOINT FILE The last line of output is
// JSON with what the client saw; any failure ends with a status other than 0.
import fs from 'node:fs'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import * as tus from 'tus-js-client'

const [mode, endpoint, file] = process.argv.slice(2)
const size = fs.statSync(file).size
const requests = []

function options(more, done, failed) {
  return {
    endpoint,
    // The client refuses a size with parallel parts, and refuses to do without one for a stream.
    ...(more.parallelUploads ? {} : { uploadSize: size }),
    retryDelays: [0, 200, 500],
    metadata: { filename: path.basename(file), filetype: 'application/octet-stream' },
    onAfterResponse: (request, response) => {
      requests.push({
        method: request.getMethod(),
        url: request.getURL(),
        status: response.getStatus(),
        offset: request.getHeader('Upload-Offset') ?? null,
        concat: request.getHeader('Upload-Concat') ?? null,
        link: response.getHeader('X-Url-Share') ?? null,
      })
    },
    onError: failed,
    onSuccess: done,
    ...more,
  }
}

/** Runs one upload; `step` is called at each progress and may end it. */
function run(more, step = () => {}) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(
      more.uploadLengthDeferred ? fs.createReadStream(file).pipe(new PassThrough()) : fs.createReadStream(file),
      options(
        {
          ...more,
          onProgress: (sent) => step(upload, sent, resolve),
          onChunkComplete: (_, accepted) => step(upload, accepted, resolve),
        },
        () => resolve(upload),
        reject,
      ),
    )
    upload.findPreviousUploads().then((previous) => {
      if (more.again) {
        if (previous.length !== 1) {
          reject(new Error(`expected one upload to resume, found ${previous.length}`))
          return
        }
        upload.resumeFromPreviousUpload(previous[0])
      }
      upload.start()
    }, reject)
  })
}

/**
 * Stops an upload after a share of it, as a closed laptop does, and takes it up with a new client
 * that knows only what was stored.
 */
async function interrupted(more) {
  const urlStorage = new tus.FileUrlStorage(`${file}.urls.json`)
  const stored = { ...more, urlStorage, storeFingerprintForResuming: true, removeFingerprintOnSuccess: true }
  let stopped = false
  await run(stored, (upload, sent, resolve) => {
    if (!stopped && sent > size / 4) {
      stopped = true
      upload.abort().then(() => resolve(upload))
    }
  })
  const before = requests.length
  const upload = await run({ ...stored, again: true })
  return { upload, resumed: requests.slice(before) }
}

const modes = {
  upload: async () => ({ upload: await run({}) }),
  chunked: async () => ({ upload: await run({ chunkSize: 1024 * 1024 }) }),
  override: async () => ({ upload: await run({ chunkSize: 4 * 1024 * 1024, overridePatchMethod: true }) }),
  'with-creation': async () => ({ upload: await run({ uploadDataDuringCreation: true, chunkSize: 2 * 1024 * 1024 }) }),
  deferred: async () => ({ upload: await run({ uploadLengthDeferred: true, uploadSize: null, chunkSize: 2 * 1024 * 1024 }) }),
  pause: () => interrupted({ chunkSize: 1024 * 1024 }),
  parallel: async () => ({ upload: await run({ parallelUploads: 4 }) }),
  'parallel-pause': () => interrupted({ parallelUploads: 4, chunkSize: 512 * 1024 }),
  'ietf-draft-03': async () => ({ upload: await run({ protocol: tus.PROTOCOL_IETF_DRAFT_03 ?? 'ietf-draft-03' }) }),
  'ietf-draft-05': async () => ({ upload: await run({ protocol: tus.PROTOCOL_IETF_DRAFT_05 ?? 'ietf-draft-05' }) }),
  terminate: async () => {
    let ended = false
    const upload = await run({ chunkSize: 512 * 1024 }, (upload, sent, resolve) => {
      if (!ended && sent > size / 4) {
        ended = true
        upload.abort(true).then(() => resolve(upload), (error) => { throw error })
      }
    })
    if (!ended) throw new Error('the upload was over before it could be ended')
    return { upload }
  },
}

const { upload, resumed } = await modes[mode]()
console.log(JSON.stringify({ url: upload.url, requests, resumed: resumed ?? null }))
