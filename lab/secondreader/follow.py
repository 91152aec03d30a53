"""Following a log: schemas/SPEC.md, sections 7, 9 and 11. The exchange is a dict of files by name."""
import sealed
import parts


class End(Exception):
    """Why no further batch is applied."""


class Follower:
    def __init__(self, contract):
        self.contract, self.files = contract, {}
        self.batch, self.hash, self.generation, self.log, self.windows_end = -1, "", 0, None, ""
        self.states = {}

    def manifest(self, batch):
        """The manifest of a batch and its file's hash, or None; of torn ones, the retries."""
        for retry in range(10):
            name = f"log/{batch // 1000:09d}/{batch:012d}{'.%d' % retry if retry else ''}.json"
            if name not in self.files:
                break
            try:
                return sealed.manifest(self.files[name], self.contract), sealed.sha256(self.files[name])
            except sealed.Torn:
                continue
        if retry == 0:
            return None
        raise End("torn")

    def floor(self):
        """The newest floor that counts, or None."""
        newest = 0
        while f"floors/{newest + 1:012d}.json" in self.files:
            newest += 1
        for number in range(newest, 0, -1):
            try:
                floor = sealed.floor(self.files[f"floors/{number:012d}.json"], self.contract)
                snapshot, oldest = self.manifest(floor["snapshot"]), self.manifest(floor["batch"])
            except (sealed.Torn, End):
                continue
            named = snapshot and snapshot[1] == floor["manifest"] and snapshot[0]["log"] == floor["log"]
            if named and (not oldest or oldest[0]["previous"] == floor["previous"]):
                return floor
        return None

    def missing(self, batch, why):
        floor = self.floor()
        return End("pruned" if floor and batch < floor["batch"] else why)

    def begin(self, snapshot):
        self.batch, self.hash = snapshot - 1, self.manifest(snapshot)[0]["previous"]

    def follow(self):
        """Apply what can be applied, and return what is found then."""
        while True:
            try:
                self.step()
            except End as end:
                states = {patient: f"{g}.{v}.{r} {event}" for patient, ((g, v, r), event) in self.states.items()}
                return {"position": self.batch, "end": str(end), "batch": self.batch + 1, "states": states}

    def step(self):
        last = self.manifest(self.batch) if self.batch >= 0 else None
        if last and last[1] != self.hash:
            raise End("fork")
        found = self.manifest(self.batch + 1)
        if not found:
            if self.manifest(self.batch + 2):
                raise self.missing(self.batch + 1, "gap")
            raise self.missing(self.batch + 1, "nothing new" if last or self.batch < 0 else "purged")
        m, hash_of = found
        if m["batch"] != self.batch + 1 or m["previous"] != self.hash:
            raise End("fork")
        if self.log not in (None, m["log"]) or m["generation"] < self.generation or m["window"]["from"] < self.windows_end:
            raise End("invalid")
        self.apply(m, [row for part in m["parts"] if not sealed.slim(part) for row in self.rows(part)])
        self.batch, self.hash, self.log = m["batch"], hash_of, m["log"]
        self.generation, self.windows_end = m["generation"], m["window"]["to"]

    def rows(self, part):
        data = self.files.get(part["name"])
        if data is None:
            raise self.missing(int(sealed.PART.fullmatch(part["name"])[3]), "no-part")
        if len(data) < part["bytes"]:
            raise End("short")
        return parts.read(data, part, self.contract)

    def apply(self, m, rows):
        stated = set()
        for row in rows:
            patient = row["patient_id"].hex()
            patient = "-".join((patient[:8], patient[8:12], patient[12:16], patient[16:20], patient[20:]))
            triple, event = (row["generation"], row["version"], row["revision"]), row["event"]
            stated.add(patient)
            before = self.states.get(patient)
            if before and (before[1] == "erased" or event != "erased" and triple <= before[0]):
                continue
            self.states[patient] = (triple, event)
        if m["kind"] == "snapshot" and m["generation"] > self.generation:
            for patient, (triple, event) in self.states.items():
                if patient not in stated and triple[0] < m["generation"] and event != "erased":
                    self.states[patient] = ((m["generation"], 0, 0), "vanished")
