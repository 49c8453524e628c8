// Uppy without a page: node uppy.mjs ENDPOINT FILE...
// All files are added at once and uploaded with @uppy/tus. The last line of output is JSON.
import fs from 'node:fs'
import path from 'node:path'
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

const [endpoint, ...files] = process.argv.slice(2)
const uppy = new Uppy({ autoProceed: false })
const links = {}
uppy.use(Tus, {
  endpoint,
  limit: 4,
  chunkSize: 2 * 1024 * 1024,
  retryDelays: [0, 200, 500],
  onAfterResponse: (request, response) => {
    const link = response.getHeader('X-Url-Share')
    if (link && request.getMethod() === 'POST') links[new URL(response.getHeader('Location'), request.getURL())] = link
  },
})
for (const file of files) {
  const data = fs.readFileSync(file)
  data.size = data.length // a page gives a Blob; tus-js-client in Node.js wants a Buffer, Uppy asks for its size
  uppy.addFile({ name: path.basename(file), type: 'application/octet-stream', data })
}
const progress = []
uppy.on('upload-progress', (file, { bytesUploaded }) => progress.push(bytesUploaded))
const result = await uppy.upload()
for (const failed of result.failed) console.error(failed.name, failed.error)
console.log(
  JSON.stringify({
    failed: result.failed.length,
    progress: progress.length,
    uploads: result.successful.map((file) => ({ name: file.name, url: file.uploadURL, link: links[file.uploadURL] ?? null })),
  }),
)
uppy.destroy()
process.exitCode = result.failed.length ? 1 : 0
