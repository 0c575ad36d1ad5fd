'use strict';

const path = require('node:path');

// Sources import each other by the name of the emitted file ("./session.js"); in a test the file beside it is TypeScript.
// Only relative imports of files outside node_modules are looked at, so that no dependency resolves otherwise than in Node.
const dependency = `${path.sep}node_modules${path.sep}`;

function sync(request, options) {
  if (/^\.{1,2}\/.*\.js$/.test(request) && !options.basedir.includes(dependency)) {
    try {
      return options.defaultResolver(request.replace(/\.js$/, '.ts'), options);
    } catch {
      // A real .js file.
    }
  }
  return options.defaultResolver(request, options);
}

module.exports = { sync };
