package hospital

import "math/rand/v2"

var sexes = []choice[string]{{49, "female"}, {48, "male"}, {1, "other"}, {1, "unknown"}, {1, ""}}

// The lists are short on purpose: people of the same name must meet.
var (
	familyNames = []string{
		"Abara", "Ashworth", "Bąk", "Bennett", "Brontë", "Castellanos", "Crabtree", "D'Souza", "Dvořák", "Eriksen",
		"Fairclough", "Ferreira", "García Márquez", "Grönholm", "Haddad", "Hargreaves", "Holm-Åkesson", "Ibáñez",
		"Jørgensen", "Kaur", "Kavanagh", "Kovács", "Lefèvre", "Llewellyn", "Łukaszewicz", "MacNeill", "Mbeki",
		"Müller", "Nguyễn", "Núñez", "O'Brien", "Öztürk", "Okonkwo", "Papadopoulos", "Patel", "Pereira", "Quigley",
		"Rao", "Rossi", "Šimić", "Singh", "Smith", "Sørensen", "Szczęsny", "Thistlethwaite", "Țepeș", "Ueda",
		"van der Berg", "Weiß", "Whittaker", "Wójcik", "Yılmaz", "Zhang", "Ḥaddād", "Ковальчук", "Παππάς", "山田", "김",
	}
	femaleNames = []string{
		"Agnieszka", "Aisling", "Amara", "Åsa", "Beatriz", "Chloé", "Dilys", "Élodie", "Fatima", "Freya", "Grace",
		"Hannelore", "Ingrid", "Jasmin", "Kateřina", "Lucía", "Małgorzata", "Mary", "Niamh", "Oluchi", "Priya",
		"Rosalind", "Saoirse", "Thị Mai", "Ursula", "Violet", "Yetunde", "Zoë", "Олена", "Ελένη", "花子", "서연",
	}
	maleNames = []string{
		"Ade", "Anders", "Björn", "Callum", "Ciarán", "David", "Đức", "Emre", "François", "Giuseppe", "Hamza",
		"Ian", "István", "Jürgen", "José", "Kwame", "Łukasz", "Mohammed", "Nikos", "Owain", "Pádraig", "Rajesh",
		"Søren", "Thomas", "Václav", "William", "Xavier", "Yusuf", "Zbigniew", "Андрій", "Γιώργος", "太郎", "민준",
	}
	streets = []string{
		"Abbey Row", "Badger Lane", "Bridge End", "Canal Walk", "Chapel Hill", "Cooper's Yard", "Dovecote Close",
		"Ferry Road", "Foundry Street", "Gasworks Lane", "Granary Wharf", "Harbour View", "Heather Bank", "Iron Gate",
		"Kiln Street", "Larch Avenue", "Market Place", "Mill Lane", "North Parade", "Orchard Way", "Penny Lane",
		"Quarry Road", "Rope Walk", "St. Anne's Terrace", "Tanner's Row", "Upper Green", "Vicarage Road", "Weir Street",
	}
	// No such towns exist. %d are digits of the postcode.
	towns = []struct{ city, postcode, country string }{
		{"Ambleforth", "ZA%d %dQX", "GB"},
		{"Brackenmoor", "ZB1%d %dAA", "GB"},
		{"Castlewick", "ZC%d %dTT", "GB"},
		{"Dunmere", "ZD2%d %dLL", "GB"},
		{"Eastwold", "ZE%d %dPP", "GB"},
		{"Baile na Coille", "Z9%d AB%d0", "IE"},
		{"Grünhafen", "009%d%d", "DE"},
		{"Nowa Rzeka", "00-0%d%d", "PL"},
		{"Saint-Éloi-des-Prés", "000%d%d", "FR"},
	}
)

// newName gives a family name and a given name; of a few only one is known.
func newName(r *rand.Rand, sex string) (family, given string) {
	family = pick(r, familyNames)
	if chance(r, 12) {
		family += "-" + pick(r, familyNames)
	}
	switch {
	case chance(r, 200):
		return family, ""
	case sex == "male" || sex != "female" && chance(r, 2):
		given = pick(r, maleNames)
	default:
		given = pick(r, femaleNames)
	}
	return family, given
}
