"""English for Italian, French, Portuguese and Polish titles of pictures worth keeping.

An entry is ``title = English``; a bare title is English already, by someone who mostly uses another language.
Titles are normalised. A title that is foreign by its words or its author and not listed here is left out.
"""

from __future__ import annotations

_LINES = """
abeille = bee; acquila = eagle; amibe = amoeba; antilope = antelope; aquila frontale = eagle, front view
armadillo; bird of peace; canguro = kangaroo; cani e gatti cat and dog = cat and dog
cavalletta = grasshopper; cavallo = horse; cigni bianchi e neri = white and black swans; cigno = swan
cigno di notte nella palude = swan at night in the swamp; cigno di spalle = swan from behind
coccinella = ladybird; coccinelle = ladybird; coccinellona = big ladybird; coniglio = rabbit
dino = dinosaur; dinosauri = dinosaurs; dinosauro = dinosaur; elefante = elephant
farfalla butterfly = butterfly; farfalla contorno = butterfly outline; farfalla semplice = simple butterfly
farfalla stilizzata = stylised butterfly; flamand = flamingo; formichina = little ant; formicona = big ant
gabbiano = seagull; gallo di profilo = rooster in profile; gattina cat = kitten; gatto cat = cat
gatto nero = black cat; gufo civetta = owl; insetto = insect; leone = lion; libellula = dragonfly
libellule = dragonfly; lucertola = lizard; lucertola arrotolata = curled-up lizard; lucertolona = big lizard
lucertolone = big lizard; lumaca = snail; lumaca turbo = fast snail; lézard = lizard
mante religieuse = praying mantis; moschito = mosquito; mantide religiosa = praying mantis
mostriciattolo = little monster; orso = bear; ours = bear; pecora = sheep; paesaggio marino = seascape
pescetto arancione = little orange fish; pinguino col piccolo = penguin with its chick
porcinet = piglet; quattro farfalle = four butterflies; ragno figo = cool spider; ramarro = green lizard
rana = frog; rhinoceros; stambecco valdostano = ibex; stormo di uccelli = flock of birds; tacchino = turkey
tante orme sulla neve = many tracks in the snow; tigre = tiger; topo = mouse
toro al tramonto = bull at sunset; uccello bianco e nero = black and white bird
uccello profilo = bird in profile; zanzara = mosquito; vacca pezzata rossa valdostana = red spotted cow
abitazione villa con giardino = villa with a garden; casa dei sogni = dream house
casa in campagna = house in the country; casa plurifamigliare = apartment house; casa verde = green house
chalet di montagna = mountain chalet; demolizione costruzione = demolition of a building
poltrona ufficio = office chair; sedia e ombrelloni = chair and umbrellas; sedia in legno = wooden chair
tavolo in legno = wooden table; battery; bobine = film reel; casco con microfono = headset with microphone
cassette video = video cassettes; cinepresa = movie camera; disquete = floppy disk; floppy = floppy disk
floppy disk; macchina fotografica digitale = digital camera; notebook = notebook computer
pc box = computer case; phone; schermo macintosh = computer screen; stampante = printer
telecamera = video camera; unita disco rigido = hard disk; video lcd = flat computer screen; appunti = notes
arrow; borsa estiva = summer bag; calcolatrice = calculator; carta = paper
cassa d epoca = antique cash register
cassa negozio = cash register; cestino pieno = full waste basket; cestino vuoto = empty waste basket
cesto = basket; clessidra = hourglass; clips = paper clips; cup; fabbrica = factory; diagramma = chart
istogramma = bar chart; lamp; lana = ball of wool; lens lente = magnifying lens; lettera = letter; papers
pennello = brush; pinzatrice = stapler; puntine = drawing pins; reunion = meeting
scissors forbici = scissors; scotch = sticky tape; valigie bags = suitcases; sapin = fir tree
colori = paints; erlenmeyer = Erlenmeyer flask; stara ksiega old book = old book; aglio = garlic
bottiglia di vino pregiato = bottle of fine wine; bread; cherry; champignon = mushroom; flat cake
frying pan padella in italian = frying pan; fuoco da campeggio = campfire; gateau = cake
gauffre au chocolat = chocolate waffle; gelato all italiana = Italian ice cream; glace = ice cream
glace italienne = soft ice cream; grape; green pear; half egg; kubek herbaty mug of tea = mug of tea
la prugna = plum; lattine di birra = beer cans; macchina caffe = coffee machine
mix cucina frullatore = kitchen mixer; muffin; flan; pannocchia di gran turco = corn cob; pear
peperoncino pepper = chilli pepper; pera = pear; pesca = peach; pizza stagioni = four seasons pizza
pomodori = tomatoes; ravanello = radish; rondelle d orange = slice of orange
rondelle orange = slice of orange; sandwich one = sandwich; strawberry; tazza di caffe = cup of coffee
teiera tazza = teapot and cup; toque = chef's hat; torta = cake
zielony kubek herbaty green mug of tea = green mug of tea; zucca = pumpkin; calebasse = calabash
spanish regions; spain peninsule = Spain; aerobics; ballerina; dente = tooth
bussiness woman donna in carriera = business woman; donna incinta = pregnant woman; fata fatina = fairy
fitness; nonno sport = grandfather doing sports; olifant = elephant; pattinatrice = figure skater
signore = gentleman; pattinatrici sul ghiaccio = ice skaters; signorina = young lady
sub subacqueo = scuba diver; yoga; camicia in seta = silk shirt; pattino = skate; albero = tree
arbre modern = modern tree; fiore = flower; mazzo di fiori = bunch of flowers; olivier one = olive branch
plain tree; red flower; tree; anelli = gymnastic rings; balloons; cartes = playing cards; couronne = crown
cronometro = stopwatch; pacco regalo = gift parcel; palloncini = balloons; soccer ballon = soccer ball
sportcar = sports car; televisore telecomando = television and remote control; derbouk = darbuka drum
double croche = sixteenth note; double note; simple croche = eighth note
barattolo di pillole = jar of pills; esperimento chimico = chemical experiment
medicina dottore = vitamin bottles
microscopio = microscope; mondo = world globe; provetta plasma sangue = test tube; siringa = syringe
attenzione = attention sign; bassetemperature = low temperature sign; danger général = danger sign
dangerelectrique = electrical danger sign; danger électrique = electrical danger sign
civiere = stretcher sign; champmagnetiqueimportant = magnetic field sign
chargessuspendues = suspended loads sign; corrosif = corrosive symbol
chutedenivellation = danger of falling sign; defense de fumer = no smoking sign; echelle = ladder sign
douche securite = safety shower sign; eau non potable = water not drinkable sign
extincteur = fire extinguisher sign; entree interdite = no entry sign
extremement inflammable = highly flammable symbol; irritant = irritant symbol
flamme nue interdite = no open flame sign; grune punkt = green dot recycling symbol; high tension danger
interdiction pietons = no pedestrians sign; lance a incendie = fire hose sign
low temperature = low temperature sign; magnetic field = magnetic field sign
matierescomburantes = oxidising material sign; ne pas toucher = do not touch sign
matierescorrosives = corrosive material sign; matieresexplosives = explosive material sign
matieresinflammables = flammable material sign; matierestoxiques = poisonous material sign; nuage = cloud
nucleare simbolo = nuclear symbol; orologio da parete = wall clock; poison; portafoglio = wallet
premiers secours = first aid sign; protection obligatoire mains = wear gloves sign
radiationsionisantes = radiation sign; protection obligatoire ouie = wear ear protection sign
protection obligatoire pieds = wear safety boots sign; protection obligatoire tete = wear a helmet sign
protection obligatoire vue = wear eye protection sign
protection obligatoire voies respiratoires = wear a respirator sign; rayonnement laser = laser beam sign
rayonnementlaser = laser beam sign; rincage yeux = eye wash sign; risque biologique = biohazard symbol
risque pour l environnement = danger to the environment symbol; risquebiologique = biohazard sign
sole = sun; sortie issue de secours = emergency exit sign; trebuchement = danger of tripping sign
tres toxique = very toxic symbol; vehiculesmanutention = fork-lift trucks sign; binocolo bn = binoculars
bottle; bussola = compass; calamita = magnet; chiave = key; engrenagem = gear wheel; ferro da stiro = iron
forchettoni da grigliata = barbecue forks; lampada di aladino aladin = Aladdin's lamp
lente normale = magnifying glass; livella = spirit level; mattone poroton = hollow brick
pansement = sticking plaster; ruota dentata = gear wheel; ruota dentata grigia = grey gear wheel
scolapasta e pentola = colander and pot; secchio e spugna = bucket and sponge; spaclu = putty knife
utensile sega = saw; utensili chiave e cacciavite = spanner and screwdriver; viti = screws
bicicletta cycle = bicycle; pallone aerestatico = hot-air balloon; trattore = tractor
triangle = warning triangle; trefoil architectural el ement also a trinitarian christian symbol = trefoil
"""


def _parse(lines: str) -> dict[str, str]:
    """Keys without spaces, as some titles are run together."""
    pairs = (entry.split(" = ") for entry in lines.replace("\n", ";").split(";") if entry.strip())
    return {pair[0].replace(" ", ""): pair[-1].strip() for pair in pairs}


ENGLISH = _parse(_LINES)
