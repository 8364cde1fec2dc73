"use strict";
// Loaded into NNI's server before its own program: four things that NNI 3.0, the last version, has no option for.
const { Module } = require("node:module");
const net = require("node:net");
const os = require("node:os");

// It would listen on every interface of the machine, and asks nobody for a password.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (where, ...rest) {
    const options = typeof where === "object" && where !== null ? where : { port: where };
    const port = Number(options.port);
    if (options.port === undefined || Number.isNaN(port)) {
        return listen.call(this, where, ...rest); // a path or an open handle: no network
    }
    const callback = rest.filter((argument) => typeof argument === "function");
    return listen.call(this, { ...options, port, host: "127.0.0.1" }, ...callback);
};

// It gives parameters to trials in the order in which they ask: of two that start together, each may get the other's,
// while the page and the messages about how a trial ended name its own. A trial that has its identifier beforehand, as
// one of a resumed experiment has, gets its own.
const load = Module._load;
Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    if (request.endsWith("training_service/v3/compat") && loaded.V3asV1.prototype.submitForm === undefined) {
        const service = loaded.V3asV1.prototype;
        service.submitForm = service.submitTrialJob;
        service.submitTrialJob = async function (form) {
            await this.startDeferred.promise;
            const id = form.id ?? Math.random().toString(36).slice(2, 10).padEnd(8, "0");
            return this.submitForm({ ...form, id, envId: form.envId ?? this.environments[0].id });
        };
    }
    return loaded;
};

// It keeps a list of experiments, which its page needs, in the home folder.
os.homedir = () => process.env.COORDNAS_NNI_HOME;

// A search that is killed cannot stop it: it stops when its parent is another process.
const parent = process.ppid;
setInterval(() => {
    if (process.ppid !== parent) {
        process.kill(process.pid, "SIGTERM");
    }
}, 1000).unref();
